//! The acknowledgement mark: a file with the newest revision that was durable.
//!
//! Written after every synced batch and before anybody is answered, but not synced itself: it outlives the process
//! exactly, and a power cut with what the kernel had written by then (half a minute earlier at the worst, with Linux's
//! defaults). It can only be too old, so a store that comes back older than its mark has lost something. It is also the
//! lock that keeps a second process out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

use crate::{EngineError, OpenError, Revision};

pub(crate) struct Mark(File);

impl Mark {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| EngineError::new(format!("{}: {error}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(TryLockError::Error(error)) => Err(EngineError::new(error).into()),
        }
    }

    /// The revision, then a checksum of it: sixteen bytes at the beginning of a sector are written whole or not at all.
    pub(crate) fn write(&self, revision: Revision) -> Result<(), EngineError> {
        let revision = revision.to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&revision);
        bytes[8..].copy_from_slice(&xxh3_64(&revision).to_be_bytes());
        self.0.write_all_at(&bytes, 0).map_err(EngineError::new)
    }

    /// `None` when nothing was ever acknowledged, or an operator removed the file to accept a loss.
    pub(crate) fn read(&self) -> Result<Option<Revision>, EngineError> {
        let mut bytes = [0; 16];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(EngineError::new(error)),
        }
        match bytes.split_first_chunk::<8>() {
            Some((revision, checksum)) if xxh3_64(revision).to_be_bytes() == checksum => {
                Ok(Some(Revision::from_be_bytes(*revision)))
            }
            _ => Err(EngineError::new(
                "the acknowledgement mark (the file `acknowledged`) is damaged: \
             `coxswain store repair --accept-loss` begins a new one",
            )),
        }
    }

    pub(crate) fn sync(&self) -> Result<(), EngineError> {
        self.0.sync_all().map_err(EngineError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_remembered_and_a_damaged_one_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let mark = Mark::open(&path).unwrap();
        assert_eq!(mark.read().unwrap(), None);
        mark.write(7).unwrap();
        mark.write(8).unwrap();
        assert!(matches!(Mark::open(&path), Err(OpenError::InUse)));
        drop(mark);
        assert_eq!(Mark::open(&path).unwrap().read().unwrap(), Some(8));
        std::fs::write(&path, [1; 16]).unwrap();
        assert!(Mark::open(&path).unwrap().read().is_err());
    }
}
