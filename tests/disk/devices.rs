//! Small disks for a store, and what can happen to them: they fill up, find errors in themselves, stand upon others.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{eventually, text};
use crate::host::{both, succeed};

/// A small file system of its own where the store will be. It is unmounted by `coxswain reset`, and gone with that.
pub(super) fn small_disk(data: &Path, megabytes: u32) -> PathBuf {
    let (image, store) = (data.with_extension("img"), data.join("store"));
    fs::create_dir(&store).unwrap();
    succeed(Command::new("truncate").args(["--size", &format!("{megabytes}M"), text(&image)]));
    succeed(Command::new("mkfs.ext4").args(["-q", "-m", "0", text(&image)]));
    succeed(Command::new("mount").args(["-o", "loop,errors=remount-ro", text(&image), text(&store)]));
    // The mount holds it.
    fs::remove_file(image).unwrap();
    store
}

/// Writes until there is no space left.
pub(super) fn fill(path: &Path) {
    let file = fs::File::create(path).unwrap();
    let (mut at, block) = (0, vec![0x55; 1 << 16]);
    for size in [block.len(), 4096] {
        while let Ok(written) = file.write_at(&block[..size], at) {
            at += written as u64;
        }
    }
    // Some of it may be found to have no place only now.
    file.sync_all().ok();
}

/// Lets a file system find an error in itself; gives its device.
pub(super) fn become_read_only(mounted: &Path) -> String {
    let device = device(mounted);
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    device
}

/// The name of the device that is mounted there.
pub(super) fn device(mounted: &Path) -> String {
    let device = succeed(Command::new("findmnt").args(["-n", "-o", "SOURCE", text(mounted)]));
    device.trim().trim_start_matches("/dev/").to_owned()
}

/// Unmounts the file system, has it checked, and mounts it again.
pub(super) fn remount(device: &str, store: &Path) {
    let device = format!("/dev/{device}");
    let held = fs::File::open(&device).unwrap();
    unmount(store);
    mend(&device);
    succeed(Command::new("mount").args([device.as_str(), text(store)]));
    drop(held);
}

pub(super) fn unmount(store: &Path) {
    eventually("nothing uses the store's file system", || {
        Command::new("umount").arg(store).output().unwrap().status.success().then_some(())
    });
}

/// Has a file system mended that is not mounted, whatever that takes.
pub(super) fn mend(device: &str) {
    let checked = Command::new("fsck.ext4").args(["-y", device]).output().unwrap();
    assert!(checked.status.code().is_some_and(|code| code < 4), "{}", both(&checked));
}

/// A file system whose blocks are in a file of another. It has no journal and goes on after errors, so it does not notice
/// when that one fails: only whoever syncs is told.
pub(super) fn disk_upon_another(data: &Path, megabytes: u32) {
    let (backing, store) = (data.join("backing"), data.join("store"));
    fs::create_dir(&store).unwrap();
    let image = backing.join("disk");
    succeed(Command::new("truncate").args(["--size", &format!("{megabytes}M"), text(&image)]));
    succeed(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-O", "^has_journal", text(&image)]));
    mount_from_file(&image, &store);
}

pub(super) fn mount_from_file(image: &Path, store: &Path) {
    succeed(Command::new("mount").args(["-o", "loop,errors=continue", text(image), text(store)]));
}

/// What is mounted inside another is unmounted before it.
pub(super) fn unmount_both(backing: &Path, store: &Path) {
    unmount(store);
    unmount(backing);
    fs::remove_dir(backing).unwrap();
}
