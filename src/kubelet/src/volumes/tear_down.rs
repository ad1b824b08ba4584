//! Takes everything of a pod off the node: mounts first, then files.
//!
//! What is mounted is what the kernel says is, so nothing is missed after a crash; and no file is removed while anything
//! is still mounted below, so that what a volume only shows is never deleted.

use std::{fs, io, path::Path};

use nix::mount::{MntFlags, umount2};

use super::{Error, blocking};

/// Unmounts and removes the volumes of the pod whose directory is given. Idempotent.
pub(crate) async fn volumes(pod_dir: &Path) -> Result<(), Error> {
    let pod_dir = pod_dir.to_owned();
    blocking(move || {
        unmount_below(&pod_dir).map_err(Error::io(format!("unmounting volumes in {}", pod_dir.display())))?;
        for name in ["volumes", "volume-subpaths"] {
            remove(&pod_dir.join(name))?;
        }
        Ok(())
    })
    .await
}

/// Removes the whole directory of a pod. Idempotent.
pub(crate) async fn everything(pod_dir: &Path) -> Result<(), Error> {
    let pod_dir = pod_dir.to_owned();
    blocking(move || {
        unmount_below(&pod_dir).map_err(Error::io(format!("unmounting volumes in {}", pod_dir.display())))?;
        remove(&pod_dir)
    })
    .await
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::Io { what: format!("removing {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

fn unmount_below(dir: &Path) -> io::Result<()> {
    for point in linux::mounts::below(dir)? {
        umount2(&point, MntFlags::MNT_DETACH).map_err(io::Error::from)?;
    }
    Ok(())
}
