//! From a layer's tar stream to a directory that overlayfs takes as a lower layer.
//!
//! Input: the uncompressed stream of one layer, from archive or registry. Output: the files, and the digest of the whole
//! stream. Follows the OCI layer specification. Never writes outside the directory: a parent that is a symbolic link, or a
//! name with `..`, is an error.

mod entry;
mod place;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::place::Place;
use crate::error::{At, Error, Result};

/// Unpacks `stream` into the empty directory `target`; answers its diffID (`sha256:…` over every byte of the stream).
///
/// `lower` are the layers below, bottom first: a directory that the archive only implies takes its owner and mode from there.
pub(crate) fn unpack(stream: impl Read, target: &Path, lower: &[PathBuf]) -> Result<String> {
    let mut archive = tar::Archive::new(Hashing { inner: stream, hash: Sha256::new() });
    let mut place = Place::new(target, lower);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        self::entry::apply(&mut entry, &mut place)?;
    }
    place.finish()?;
    // Padding and whatever else follows the end marker belongs to the digest.
    let mut hashing = archive.into_inner();
    io::copy(&mut hashing, &mut io::sink()).map_err(unreadable)?;
    Ok(format!("sha256:{}", hex::encode(hashing.hash.finalize())))
}

fn unreadable(e: io::Error) -> Error {
    Error::Image(format!("read layer: {e}"))
}

/// Passes bytes on and hashes them.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

/// Forces everything written to the file system of `path` to disk, before a record says that it is there.
pub(crate) fn sync_file_system(path: &Path) -> Result<()> {
    let dir = std::fs::File::open(path).at("open", path)?;
    nix::unistd::syncfs(dir).map_err(io::Error::from).at("sync", path)
}

#[cfg(test)]
mod tests;
