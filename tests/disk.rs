//! A disk that fails under the store: writes stop and say so, reads go on, and after space is back a restart is enough.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, eventually, text};
use crate::host::{both, succeed};

/// A small file system of its own where the store will be. It is unmounted by `coxswain reset`, and gone with that.
fn small_disk(data: &Path, megabytes: u32) -> PathBuf {
    let (image, store) = (data.with_extension("img"), data.join("store"));
    fs::create_dir(&store).unwrap();
    succeed(Command::new("truncate").args(["--size", &format!("{megabytes}M"), text(&image)]));
    succeed(Command::new("mkfs.ext4").args(["-q", "-m", "0", text(&image)]));
    succeed(Command::new("mount").args(["-o", "loop,errors=remount-ro", text(&image), text(&store)]));
    // The mount holds it.
    fs::remove_file(image).unwrap();
    store
}

fn config_map(cluster: &Cluster, name: &str) -> Result<(), String> {
    let filling = format!("--from-literal=filling={}", "x".repeat(20_000));
    let output = cluster.kubectl(&["create", "configmap", name, &filling]);
    if output.status.success() { Ok(()) } else { Err(both(&output)) }
}

/// Creates config maps until one is refused; gives those that were acknowledged, and the refusal.
fn write_until_refused(cluster: &Cluster) -> (Vec<String>, String) {
    let mut acknowledged = Vec::new();
    for number in 0..2000 {
        let name = format!("filling-{number}");
        match config_map(cluster, &name) {
            Ok(()) => acknowledged.push(name),
            Err(refusal) => return (acknowledged, refusal),
        }
    }
    panic!("2000 writes went to a disk without space");
}

fn check_stopped(cluster: &Cluster, acknowledged: &[String], why: &str) {
    let refusal = config_map(cluster, "another").unwrap_err();
    assert!(refusal.contains(why), "{refusal}");
    let status = both(&cluster.coxswain(&["store", "status"]));
    assert!(status.contains("takes writes   NO"), "{status}");
    check_all(cluster, acknowledged);
    cluster.fails(&["get", "--raw", "/readyz"]);
    assert!(cluster.log().contains("nothing is written any more"), "the log says why");
}

fn check_all(cluster: &Cluster, acknowledged: &[String]) {
    let present = cluster.ok(&["get", "configmaps", "-o", "name"]);
    for name in acknowledged {
        assert!(present.lines().any(|line| line == format!("configmap/{name}")), "{name} is missing");
    }
}

/// Every record is as it should be, and the server goes on.
fn check_after_a_restart(cluster: &mut Cluster, acknowledged: &[String]) {
    let checked = cluster.coxswain(&["store", "check"]);
    assert!(checked.status.success(), "{}", both(&checked));
    cluster.start_server();
    check_all(cluster, acknowledged);
    config_map(cluster, "afterwards").unwrap();
    let status = both(&cluster.coxswain(&["store", "status"]));
    assert!(status.contains("takes writes   yes"), "{status}");
}

#[test]
fn a_full_disk_stops_writes_and_not_reads_and_a_restart_goes_on_when_there_is_space() {
    let mut cluster = Cluster::control_plane_over(&[], |cluster| drop(small_disk(&cluster.data, 100)));
    let ballast = cluster.data.join("store/ballast");
    config_map(&cluster, "before").unwrap();
    fill(&ballast);
    let (mut acknowledged, refusal) = write_until_refused(&cluster);
    acknowledged.push("before".to_owned());
    assert!(refusal.contains("No space left"), "{refusal}");
    check_stopped(&cluster, &acknowledged, "No space left");
    fs::remove_file(&ballast).unwrap();
    config_map(&cluster, "too-early").unwrap_err();
    cluster.stop_server();
    check_after_a_restart(&mut cluster, &acknowledged);
}

/// Writes until there is no space left.
fn fill(path: &Path) {
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

#[test]
fn a_disk_that_becomes_read_only_stops_writes_and_not_reads() {
    let mut cluster = Cluster::control_plane_over(&[], |cluster| drop(small_disk(&cluster.data, 200)));
    config_map(&cluster, "before").unwrap();
    let store = cluster.data.join("store");
    let device = succeed(Command::new("findmnt").args(["-n", "-o", "SOURCE", text(&store)]));
    let device = device.trim().trim_start_matches("/dev/").to_owned();
    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    let (mut acknowledged, _) = write_until_refused(&cluster);
    acknowledged.push("before".to_owned());
    check_stopped(&cluster, &acknowledged, "Read-only file system");
    cluster.stop_server();
    remount(&device, &store);
    check_after_a_restart(&mut cluster, &acknowledged);
}

/// Unmounts the file system, has it checked, and mounts it again.
fn remount(device: &str, store: &Path) {
    let device = format!("/dev/{device}");
    let held = fs::File::open(&device).unwrap();
    eventually("nothing uses the store's file system", || {
        Command::new("umount").arg(store).status().unwrap().success().then_some(())
    });
    let checked = Command::new("fsck.ext4").args(["-p", &device]).output().unwrap();
    assert!(checked.status.code().is_some_and(|code| code < 4), "{}", both(&checked));
    succeed(Command::new("mount").args([device.as_str(), text(store)]));
    drop(held);
}

/// The file system is frozen again and again, which lets nothing through that is written or synced.
#[test]
fn syncs_that_take_a_second_slow_writes_and_fail_nothing() {
    const ROUNDS: usize = 6;
    let cluster = Cluster::control_plane_over(&[], |cluster| drop(small_disk(&cluster.data, 200)));
    let store = cluster.data.join("store");
    let freeze = |flag| succeed(Command::new("fsfreeze").args([flag, text(&store)]));
    for round in 0..ROUNDS {
        freeze("--freeze");
        let began = Instant::now();
        std::thread::scope(|scope| {
            let writing: Vec<_> = (0..4)
                .map(|writer| {
                    let cluster = &cluster;
                    scope.spawn(move || {
                        (config_map(cluster, &format!("slow-{round}-{writer}")), began.elapsed())
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_secs(1));
            freeze("--unfreeze");
            let thawed = began.elapsed();
            for writing in writing {
                let (written, answered) = writing.join().unwrap();
                assert_eq!(written, Ok(()));
                assert!(answered >= thawed, "answered after {answered:?}, before it was durable: {thawed:?}");
            }
        });
    }
    assert_eq!(cluster.ok(&["get", "configmaps", "-o", "name"]).matches("slow-").count(), 4 * ROUNDS);
    let status = both(&cluster.coxswain(&["store", "status"]));
    assert!(status.contains("takes writes   yes"), "{status}");
}

/// A disk whose blocks are files of a file system that is full: it has space, but does not keep what is written.
#[test]
fn a_sync_that_fails_stops_writes_and_not_reads_and_a_restart_goes_on_when_the_disk_is_sound() {
    let mut cluster = Cluster::control_plane_over(&[], |cluster| {
        let backing = cluster.data.join("backing");
        fs::create_dir(&backing).unwrap();
        succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "size=96M", "tmpfs", text(&backing)]));
        let (image, store) = (backing.join("disk"), cluster.data.join("store"));
        fs::create_dir(&store).unwrap();
        succeed(Command::new("truncate").args(["--size", "300M", text(&image)]));
        // Without a journal of its own the file system does not notice: only whoever syncs is told.
        succeed(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-O", "^has_journal", text(&image)]));
        succeed(Command::new("mount").args(["-o", "loop,errors=continue", text(&image), text(&store)]));
    });
    let (backing, store) = (cluster.data.join("backing"), cluster.data.join("store"));
    config_map(&cluster, "before").unwrap();
    fill(&backing.join("ballast"));
    let (mut acknowledged, refusal) = write_until_refused(&cluster);
    acknowledged.push("before".to_owned());
    // The device says so to whoever syncs; the file system has space.
    assert!(refusal.contains("No space left on device"), "{refusal}");
    let free = succeed(Command::new("df").args(["--output=avail", text(&store)]));
    assert!(free.lines().last().unwrap().trim().parse::<u64>().unwrap() > 100_000, "{free}");
    check_stopped(&cluster, &acknowledged, "No space left on device");
    fs::remove_file(backing.join("ballast")).unwrap();
    cluster.stop_server();
    let device = succeed(Command::new("findmnt").args(["-n", "-o", "SOURCE", text(&store)]));
    remount(device.trim().trim_start_matches("/dev/"), &store);
    check_after_a_restart(&mut cluster, &acknowledged);
    cluster.stop_server();
    // What is mounted inside another is unmounted before it.
    succeed(Command::new("umount").arg(&store));
    succeed(Command::new("umount").arg(&backing));
    fs::remove_dir(&backing).unwrap();
}

#[test]
fn a_damaged_store_is_described_and_goes_on_only_when_the_loss_is_accepted() {
    let mut cluster = Cluster::control_plane(&[]);
    for number in 0..20 {
        config_map(&cluster, &format!("map-{number}")).unwrap();
    }
    cluster.stop_server();
    let sound = cluster.coxswain(&["store", "check"]);
    assert!(
        both(&sound).contains("nothing is wrong") && both(&sound).contains("configmaps"),
        "{}",
        both(&sound)
    );
    let journal = cluster.data.join("store/journal/0.jnl");
    let written = fs::read(&journal).unwrap();
    let end = written.iter().rposition(|&byte| byte != 0).unwrap() as u64;
    let file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
    file.write_all_at(&[!written[end as usize / 2]], end / 2).unwrap();
    for arguments in [&["server", "--without-node"][..], &["store", "check"], &["store", "repair"]] {
        let refused = cluster.coxswain(arguments);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        let said = both(&refused);
        assert!(said.contains("has lost acknowledged writes, revisions"), "{arguments:?}: {said}");
        assert!(said.contains("--accept-loss"), "{arguments:?}: {said}");
    }
    let repaired = cluster.coxswain(&["store", "repair", "--accept-loss"]);
    assert!(repaired.status.success(), "{}", both(&repaired));
    assert!(both(&cluster.coxswain(&["store", "check"])).contains("nothing is wrong"));
    cluster.start_server();
    config_map(&cluster, "afterwards").unwrap();
    let again = cluster.coxswain(&["store", "repair", "--accept-loss"]);
    assert!(both(&again).contains("is in use by process"), "{}", both(&again));
}
