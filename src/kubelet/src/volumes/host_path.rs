//! A path of the node itself.

use std::{
    fs::{self, FileType},
    os::unix::fs::{DirBuilderExt, FileTypeExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Volume;

use super::{Error, SetUp, blocking};

pub(super) struct Plugin;

#[async_trait::async_trait]
impl super::Plugin for Plugin {
    fn name(&self) -> &'static str {
        "kubernetes.io/host-path"
    }

    fn handles(&self, volume: &Volume) -> bool {
        volume.host_path.is_some()
    }

    fn path(&self, volume: &Volume, dir: PathBuf) -> PathBuf {
        volume.host_path.as_ref().map_or(dir, |source| PathBuf::from(&source.path))
    }

    async fn set_up(&self, cx: &SetUp<'_>) -> Result<Option<Timestamp>, Error> {
        let Some(source) = cx.volume.host_path.clone() else { return Ok(None) };
        blocking(move || check(Path::new(&source.path), source.type_.as_deref().unwrap_or_default())).await?;
        Ok(None)
    }
}

/// Makes the path if its type asks for that, and refuses one of another type.
fn check(path: &Path, wanted: &str) -> Result<(), Error> {
    let what = || format!("hostPath {}", path.display());
    if wanted == "DirectoryOrCreate" && !path.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(Error::io(what()))?;
    }
    if wanted == "FileOrCreate" && !path.exists() {
        fs::write(path, "").map_err(Error::io(what()))?;
    }
    let refuse = |what: &str| {
        Err(Error::Source(format!("hostPath type check failed: {} is not {what}", path.display())))
    };
    let is = |test: fn(&FileType) -> bool| path.metadata().is_ok_and(|meta| test(&meta.file_type()));
    match wanted {
        "Directory" | "DirectoryOrCreate" if !is(FileType::is_dir) => refuse("a directory"),
        "File" | "FileOrCreate" if !is(FileType::is_file) => refuse("a file"),
        "Socket" if !is(FileType::is_socket) => refuse("a socket file"),
        "CharDevice" if !is(FileType::is_char_device) => refuse("a character device"),
        "BlockDevice" if !is(FileType::is_block_device) => refuse("a block device"),
        _ => Ok(()),
    }
}
