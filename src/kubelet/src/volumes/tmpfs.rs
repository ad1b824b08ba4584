//! Memory file systems for what must not reach a disk.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use nix::mount::{MsFlags, mount};

use super::Error;

/// Mounts a tmpfs on `dir` unless something is mounted there; `limit_bytes` is its size.
pub(super) fn ensure(dir: &Path, limit_bytes: Option<i64>) -> Result<(), Error> {
    let what = || format!("mounting tmpfs on {}", dir.display());
    fs::create_dir_all(dir).map_err(Error::io(what()))?;
    if is_mounted(dir) {
        return Ok(());
    }
    let options = limit_bytes.map(|bytes| format!("size={bytes}"));
    let mounted = mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), options.as_deref());
    mounted.map_err(|errno| Error::io(what())(errno.into()))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(Error::io(what()))
}

/// Whether `dir` is on another file system than its parent.
pub(super) fn is_mounted(dir: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|meta| meta.dev()).ok();
    match (device(dir), dir.parent().and_then(device)) {
        (Some(own), Some(parent)) => own != parent,
        _ => false,
    }
}
