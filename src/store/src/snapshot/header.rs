//! The first bytes of a snapshot: what it is of, and how to read the rest.
//!
//! Fixed in size, never encrypted, so that a list of snapshots can be made without reading or opening any.

use std::io::{ErrorKind, Read};

use xxhash_rust::xxh3::xxh3_64;

use super::Error;
use crate::{Revision, record};

const MAGIC: &[u8; 8] = b"\xc0xswsnap";
/// The version of all that is described in `snapshot`.
const VERSION: u16 = 1;
/// The version of the records within; the store's own.
const RECORDS: u16 = record::FORMAT as u16;
/// Bytes of a header.
pub(super) const SIZE: usize = 8 + 2 + 2 + 8 + 8 + 4 + SALT + 8;
/// Bytes of the salt.
pub(super) const SALT: usize = 16;

/// What a snapshot is of. Not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The moment that it is of.
    pub revision: Revision,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The form of its records.
    pub(super) records: u16,
    /// How its key is made from a passphrase; `None` where it is not encrypted.
    pub(super) stretch: Option<Stretch>,
}

/// How a passphrase becomes a key (PBKDF2-HMAC-SHA256).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) iterations: u32,
    pub(super) salt: [u8; SALT],
}

impl Header {
    /// The bytes that [`Header::read`] takes.
    pub const SIZE: usize = SIZE;

    /// A header of a snapshot of that moment.
    #[must_use]
    pub fn new(revision: Revision, time_ms: u64) -> Self {
        Self { revision, time_ms, records: RECORDS, stretch: None }
    }

    /// Whether a passphrase is needed to read what follows.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.stretch.is_some()
    }

    /// Reads a header and nothing behind it.
    ///
    /// # Errors
    /// [`Error::NotASnapshot`], [`Error::Newer`], [`Error::CutShort`], [`Error::Damaged`], [`Error::Io`].
    pub fn read(input: &mut impl Read) -> Result<Self, Error> {
        let mut bytes = [0; SIZE];
        let mut filled = 0;
        while filled < SIZE {
            match input.read(&mut bytes[filled..]) {
                Ok(0) => return Err(too_short(&bytes[..filled])),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Self::decode(&bytes)
    }

    pub(super) fn encode(&self) -> [u8; SIZE] {
        let stretch = self.stretch.unwrap_or(Stretch { iterations: 0, salt: [0; SALT] });
        let fields: [&[u8]; 7] = [
            MAGIC,
            &VERSION.to_be_bytes(),
            &self.records.to_be_bytes(),
            &self.revision.to_be_bytes(),
            &self.time_ms.to_be_bytes(),
            &stretch.iterations.to_be_bytes(),
            &stretch.salt,
        ];
        let body = fields.concat();
        let mut bytes = [0; SIZE];
        bytes[..body.len()].copy_from_slice(&body);
        bytes[body.len()..].copy_from_slice(&xxh3_64(&body).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SIZE]) -> Result<Self, Error> {
        let (body, checksum) = bytes.split_at(SIZE - 8);
        let short = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let number = |at: usize| body[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        if body[..8] != *MAGIC {
            return Err(Error::NotASnapshot);
        }
        // Before the checksum: a later version may have a longer header.
        newer("format", short(8), VERSION)?;
        if xxh3_64(body).to_be_bytes() != checksum {
            return Err(damaged("its header is not what was written"));
        }
        newer("form of records", short(10), RECORDS)?;
        let iterations = u32::from_be_bytes(*body[28..].first_chunk().expect("the header is longer"));
        let salt = *body[32..].first_chunk().expect("the header is longer");
        let stretch = (iterations > 0).then_some(Stretch { iterations, salt });
        Ok(Self { revision: number(12), time_ms: number(20), records: short(10), stretch })
    }
}

fn newer(what: &'static str, found: u16, supported: u16) -> Result<(), Error> {
    match found {
        0 => Err(damaged("it has a version that there never was")),
        found if found > supported => Err(Error::Newer { what, found, supported }),
        _ => Ok(()),
    }
}

fn too_short(bytes: &[u8]) -> Error {
    let common = bytes.len().min(MAGIC.len());
    if bytes.is_empty() || bytes[..common] != MAGIC[..common] {
        return Error::NotASnapshot;
    }
    Error::CutShort { at: bytes.len() as u64 }
}

fn damaged(what: &str) -> Error {
    Error::Damaged { at: 0, what: what.to_owned() }
}
