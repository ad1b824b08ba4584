//! From a layer's tar stream to a directory that overlayfs takes as a lower layer.
//!
//! Input: the uncompressed stream of one layer, from archive or registry. Output: the files, and the digest of the whole
//! stream. Follows the OCI layer specification. Never writes outside the directory (a parent that is a symbolic link, or a
//! name with `..`, is an error), and never more than its [`Bounds`] allow, whatever a few compressed bytes claim to be.

mod bounds;
mod entry;
mod place;
mod stream;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub(crate) use self::bounds::Bounds;
use self::place::Place;
use self::stream::{Meter, Metered};
use crate::error::{At, Error, Result};

/// Unpacks `stream` into the empty directory `target`; answers its diffID (`sha256:…` over every byte of the stream).
///
/// `lower` are the layers below, bottom first: a directory that the archive only implies takes its owner and mode from there.
pub(crate) fn unpack(
    stream: impl Read,
    target: &Path,
    lower: &[PathBuf],
    mut bounds: Bounds,
) -> Result<String> {
    let meter = Meter::default();
    let mut archive = tar::Archive::new(Metered::new(stream, &meter));
    let mut place = Place::new(target, lower);
    let mut entries = archive.entries().map_err(unreadable)?;
    loop {
        meter.allow(bounds.description_bytes);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(unreadable)?;
        bounds.take_entry(entry.size())?;
        meter.allow(u64::MAX);
        self::entry::apply(&mut entry, &mut place)?;
        // What nobody wanted of it is no description of the next.
        io::copy(&mut entry, &mut io::sink()).map_err(unreadable)?;
    }
    place.finish()?;
    // Padding and whatever else follows the end marker belongs to the digest.
    meter.allow(bounds.left());
    let mut stream = archive.into_inner();
    io::copy(&mut stream, &mut io::sink()).map_err(unreadable)?;
    Ok(stream.digest())
}

fn unreadable(e: io::Error) -> Error {
    Error::Image(format!("read layer: {e}"))
}

/// Forces everything written to the file system of `path` to disk, before a record says that it is there.
pub(crate) fn sync_file_system(path: &Path) -> Result<()> {
    let dir = std::fs::File::open(path).at("open", path)?;
    nix::unistd::syncfs(dir).map_err(io::Error::from).at("sync", path)
}

#[cfg(test)]
mod tests;
