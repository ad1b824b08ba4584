//! How full a file system is, for the node's conditions and the collector of images. Frees nothing.

use std::{io, path::Path};

use cri::v1;
use nix::sys::statvfs::statvfs;

/// The room on a file system. What it keeps back for its owner is nobody's and does not count (as in the percentage of df).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Space {
    pub capacity_bytes: u64,
    pub available_bytes: u64,
    /// 0 where there is no limit.
    pub inodes: u64,
    pub inodes_free: u64,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("container runtime: {}", .0.message())]
    Runtime(#[from] cri::Status),
    #[error("the runtime does not say where its images are")]
    NoImages,
    #[error("{0}: {1}")]
    FileSystem(String, io::Error),
}

impl Space {
    /// Of the file system that `path` is on.
    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        let system =
            statvfs(path).map_err(|errno| Error::FileSystem(path.display().to_string(), errno.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.fragment_size());
        let used = system.blocks().saturating_sub(system.blocks_free());
        Ok(Self {
            capacity_bytes: bytes(used.saturating_add(system.blocks_available())),
            available_bytes: bytes(system.blocks_available()),
            inodes: system.files(),
            inodes_free: system.files_free(),
        })
    }
}

/// A path on the file system of the images. To be asked for once: a runtime may count every file before it answers.
pub(crate) async fn images_path(runtime: &dyn cri::Runtime) -> Result<String, Error> {
    let info = runtime.image_fs_info(v1::ImageFsInfoRequest {}).await?;
    let place = info.image_filesystems.into_iter().find_map(|usage| usage.fs_id).map(|id| id.mountpoint);
    place.ok_or(Error::NoImages)
}
