//! The stream of a layer on its way into the archive reader: hashed, and cut off where too much is read.
//!
//! The archive reader keeps in memory what describes an entry (long names, attributes), as much as the archive says there
//! is; the [`Meter`] is how its caller limits that.

use std::cell::Cell;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// How many bytes may be read until the next word from the caller.
#[derive(Default)]
pub(super) struct Meter(Cell<u64>);

impl Meter {
    pub(super) fn allow(&self, bytes: u64) {
        self.0.set(bytes);
    }
}

/// Passes bytes on, hashes and counts them.
pub(super) struct Metered<'a, R> {
    inner: R,
    hash: Sha256,
    meter: &'a Meter,
}

impl<'a, R: Read> Metered<'a, R> {
    pub(super) fn new(inner: R, meter: &'a Meter) -> Self {
        Self { inner, hash: Sha256::new(), meter }
    }

    /// The digest of all that was read.
    pub(super) fn digest(self) -> String {
        format!("sha256:{}", hex::encode(self.hash.finalize()))
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.meter.0.get();
        let count = self.inner.read(buffer)?;
        if count as u64 > left {
            return Err(io::Error::other("more than a layer may hold"));
        }
        self.meter.0.set(left - count as u64);
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}
