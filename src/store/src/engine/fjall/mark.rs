//! The acknowledgement mark: a file with the newest revision that was durable.
//!
//! Written after every synced batch and before anybody is answered, but not synced itself: it outlives the process
//! exactly, and a power cut with what the kernel had written by then (half a minute earlier at the worst, with Linux's
//! defaults). It can only be too old, so a store that comes back older than its mark has lost something. It is also the
//! lock that keeps a second process out.

use std::io;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

use super::system::{File, System};
use crate::{EngineError, OpenError, Revision};

pub(super) struct Mark<F>(F);

impl<F: File> Mark<F> {
    pub(super) fn open(system: &impl System<File = F>, path: &Path) -> Result<Self, OpenError> {
        let file = system.lock(path).map_err(|error| super::at(path, error))?;
        file.map(Self).ok_or(OpenError::InUse)
    }

    /// The revision, then a checksum of it: sixteen bytes at the beginning of a sector are written whole or not at all.
    pub(super) fn write(&self, revision: Revision) -> Result<(), EngineError> {
        let revision = revision.to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&revision);
        bytes[8..].copy_from_slice(&xxh3_64(&revision).to_be_bytes());
        self.0.write_all(&bytes, 0).map_err(EngineError::new)
    }

    /// `None` when nothing was ever acknowledged, or an operator removed the file to accept a loss. After a power cut a
    /// new file may have its length and nothing in it.
    pub(super) fn read(&self) -> Result<Option<Revision>, EngineError> {
        let mut bytes = [0; 16];
        match self.0.read_exact(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(EngineError::new(error)),
        }
        match bytes.split_first_chunk::<8>() {
            _ if bytes == [0; 16] => Ok(None),
            Some((revision, checksum)) if xxh3_64(revision).to_be_bytes() == checksum => {
                Ok(Some(Revision::from_be_bytes(*revision)))
            }
            _ => Err(EngineError::new(
                "the acknowledgement mark (the file `acknowledged`) is damaged: \
             `coxswain store repair --accept-loss` begins a new one",
            )),
        }
    }

    pub(super) fn sync(&self) -> Result<(), EngineError> {
        self.0.sync_all().map_err(EngineError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fjall::system::Native;

    #[test]
    fn a_mark_is_remembered_and_a_damaged_one_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let open = || Mark::open(&Native, &path);
        let mark = open().unwrap();
        assert_eq!(mark.read().unwrap(), None);
        mark.write(7).unwrap();
        mark.write(8).unwrap();
        assert!(matches!(open(), Err(OpenError::InUse)));
        drop(mark);
        assert_eq!(open().unwrap().read().unwrap(), Some(8));
        std::fs::write(&path, [1; 16]).unwrap();
        assert!(open().unwrap().read().is_err());
        std::fs::write(&path, [0; 16]).unwrap();
        assert_eq!(open().unwrap().read().unwrap(), None);
    }
}
