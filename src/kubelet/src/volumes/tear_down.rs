//! Takes everything of a pod off the node: mounts first, then files.
//!
//! What is mounted is what the kernel says is, so nothing is missed after a crash; and no file is removed while anything
//! is still mounted below, so that what a volume only shows is never deleted.

use std::{
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

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
    let table = fs::read("/proc/self/mountinfo")?;
    // Later lines are mounted over or below earlier ones.
    for point in mount_points(&table).into_iter().rev().filter(|point| point.starts_with(dir)) {
        umount2(&point, MntFlags::MNT_DETACH).map_err(io::Error::from)?;
    }
    Ok(())
}

/// The mount points in a mountinfo table, in its order.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    let fields = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    fields.map(|field| PathBuf::from(std::ffi::OsString::from_vec(unescape(field)))).collect()
}

/// The kernel writes blanks and the like as `\040`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = &tail[3..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let table = b"36 35 98:0 / /a\\040b rw - tmpfs tmpfs rw\n37 36 0:1 / /c rw - ext4 x rw\n";
        assert_eq!(mount_points(table), [PathBuf::from("/a b"), PathBuf::from("/c")]);
    }
}
