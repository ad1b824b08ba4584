//! `fsGroup`: the group that owns a volume.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, lchown},
    path::Path,
};

/// Gives everything below `path` to `group`, readable or also writable for it; new files in its directories belong to the group.
pub(super) fn apply(path: &Path, group: u32, read_only: bool) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mut bits = if read_only { 0o440 } else { 0o660 };
    if meta.is_dir() {
        bits |= 0o2110;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(meta.permissions().mode() | bits))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            apply(&entry?.path(), group, read_only)?;
        }
    }
    Ok(())
}
