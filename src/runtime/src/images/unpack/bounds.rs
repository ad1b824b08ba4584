//! How much a layer may unpack to. A layer of a few kilobytes can claim to hold any number of bytes and files.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::error::{At, Error, Result};

/// Of the file system that layers are unpacked to, one part in so many stays free.
const KEPT_FREE: u64 = 20;

/// What is left of the limits of one layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of files.
    bytes: u64,
    /// Files, directories, links and whatever else takes an inode.
    entries: u64,
    /// Bytes that describe one entry: its header, long names, attributes. Kept in memory; upstream takes 1 MiB for each.
    pub(super) description_bytes: u64,
}

impl Bounds {
    /// As much as leaves a twentieth of the file system of `path` free.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let system = statvfs(path).map_err(std::io::Error::from).at("look at", path)?;
        let spare = |available: u64, all: u64| available.saturating_sub(all / KEPT_FREE);
        let blocks = spare(system.blocks_available(), system.blocks());
        // Some file systems have as many inodes as they need and say that they have none.
        let entries = match system.files() {
            0 => u64::MAX,
            all => spare(system.files_available(), all),
        };
        Ok(Self::new(blocks.saturating_mul(system.fragment_size()), entries))
    }

    pub(crate) fn new(bytes: u64, entries: u64) -> Self {
        Self { bytes, entries, description_bytes: 4 * 1024 * 1024 }
    }

    /// Bytes that may still come.
    pub(super) fn left(&self) -> u64 {
        self.bytes
    }

    /// Takes an entry of that size off what is left.
    pub(crate) fn take_entry(&mut self, size: u64) -> Result<()> {
        let refused = |what: &str| Error::Image(format!("no space left on device for the {what} of a layer"));
        self.entries = self.entries.checked_sub(1).ok_or_else(|| refused("files"))?;
        self.bytes = self.bytes.checked_sub(size).ok_or_else(|| refused("bytes"))?;
        Ok(())
    }
}
