//! How much a layer may unpack to. A layer of a few kilobytes can claim to hold any number of bytes and files.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::error::{At, Error, Result};

/// Of the file system that layers are unpacked to, one part in so many stays free.
const KEPT_FREE: u64 = 20;
/// But of a large one no more bytes than these: other parts of the node get on with them.
const MOST_BYTES_KEPT: u64 = 1 << 30;
/// And as many inodes as ext4 makes for so many bytes.
const MOST_INODES_KEPT: u64 = MOST_BYTES_KEPT / (16 << 10);

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
    /// As much as leaves a twentieth of the file system of `path` free, or 1 GiB and 65,536 inodes where that is less.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let system = statvfs(path).map_err(std::io::Error::from).at("look at", path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.fragment_size());
        let room = spare(bytes(system.blocks_available()), bytes(system.blocks()), MOST_BYTES_KEPT);
        // Some file systems have as many inodes as they need and say that they have none.
        let entries = match system.files() {
            0 => u64::MAX,
            all => spare(system.files_available(), all, MOST_INODES_KEPT),
        };
        Ok(Self::new(room, entries))
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

/// What may be used of what is available.
fn spare(available: u64, all: u64, most_kept: u64) -> u64 {
    available.saturating_sub((all / KEPT_FREE).min(most_kept))
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES_KEPT, spare};

    #[test]
    fn a_twentieth_stays_free_and_of_a_large_disk_a_gibibyte() {
        const GIB: u64 = 1 << 30;
        assert_eq!(spare(7 * GIB, 252 * GIB, MOST_BYTES_KEPT), 6 * GIB);
        assert_eq!(spare(7 * GIB, 10 * GIB, MOST_BYTES_KEPT), 7 * GIB - GIB / 2);
        assert_eq!(spare(GIB / 2, 252 * GIB, MOST_BYTES_KEPT), 0);
    }
}
