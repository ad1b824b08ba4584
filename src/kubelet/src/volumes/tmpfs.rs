//! Memory file systems for what must not reach a disk.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use nix::mount::{MsFlags, mount};

use super::Error;

/// For what only root changes.
pub(super) const PLAIN: &str = "mode=0755";

/// Mounts a tmpfs on `dir` unless something is mounted there. The options say all about it, so that none is ever half made.
pub(super) fn ensure(dir: &Path, options: &str) -> Result<(), Error> {
    let what = || format!("mounting tmpfs on {}", dir.display());
    fs::create_dir_all(dir).map_err(Error::io(what()))?;
    if is_mounted(dir) {
        return Ok(());
    }
    let mounted = mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), Some(options));
    mounted.map_err(|errno| Error::io(what())(errno.into()))
}

/// Whether `dir` is on another file system than its parent.
pub(super) fn is_mounted(dir: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|meta| meta.dev()).ok();
    match (device(dir), dir.parent().and_then(device)) {
        (Some(own), Some(parent)) => own != parent,
        _ => false,
    }
}
