//! A disk that fails under the store: writes stop and say so, reads go on, and after space is back a restart is enough.

mod devices;

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

use self::devices::{
    become_read_only, device, disk_upon_another, fill, mend, mount_from_file, remount, small_disk, unmount,
    unmount_both,
};
use crate::cluster::{Cluster, text};
use crate::host::{both, succeed};
use crate::load::Load;

/// Bytes of each object of the load.
const LOAD: usize = 20_000;

fn config_map(cluster: &Cluster, name: &str) -> Result<(), String> {
    let filling = format!("--from-literal=filling={}", "x".repeat(20_000));
    let output = cluster.kubectl(&["create", "configmap", name, &filling]);
    if output.status.success() { Ok(()) } else { Err(both(&output)) }
}

/// Puts a load on the server until that refuses a write; gives its words.
fn write_until_refused(cluster: &Cluster, load: &Load) -> String {
    let running = load.start(cluster, LOAD);
    let refusal = running.until_refused();
    running.stop();
    refusal
}

/// Writes are refused, and everything else goes on.
fn check_stopped(cluster: &Cluster, load: &Load, why: &str) {
    let refusal = config_map(cluster, "another").unwrap_err();
    assert!(refusal.contains(why), "{refusal}");
    let status = both(&cluster.coxswain(&["store", "status"]));
    assert!(status.contains("takes writes   NO"), "{status}");
    assert_eq!(load.read(cluster), Vec::<String>::new(), "readers were refused");
    cluster.ok(&["get", "configmap", "before"]);
    cluster.fails(&["get", "--raw", "/readyz"]);
    assert!(cluster.log().contains("nothing is written any more"), "the log says why");
}

/// Every record is as it should be, everything that was said is true, and the server goes on.
fn check_after_a_restart(cluster: &mut Cluster, mut load: Load) {
    let checked = cluster.coxswain(&["store", "check"]);
    assert!(checked.status.success(), "{}", both(&checked));
    cluster.start_server();
    cluster.ok(&["get", "configmap", "before"]);
    load.judge(cluster);
    load.conclude(cluster);
    let status = both(&cluster.coxswain(&["store", "status"]));
    assert!(status.contains("takes writes   yes"), "{status}");
}

#[test]
fn a_full_disk_stops_writes_and_not_reads_and_a_restart_goes_on_when_there_is_space() {
    let mut cluster = Cluster::control_plane_over(&[], |cluster| drop(small_disk(&cluster.data, 100)));
    let ballast = cluster.data.join("store/ballast");
    config_map(&cluster, "before").unwrap();
    let load = Load::of(&cluster);
    fill(&ballast);
    let refusal = write_until_refused(&cluster, &load);
    assert!(refusal.contains("No space left"), "{refusal}");
    check_stopped(&cluster, &load, "No space left");
    fs::remove_file(&ballast).unwrap();
    config_map(&cluster, "too-early").unwrap_err();
    cluster.stop_server();
    check_after_a_restart(&mut cluster, load);
}

#[test]
fn a_disk_that_becomes_read_only_stops_writes_and_not_reads() {
    let mut cluster = Cluster::control_plane_over(&[], |cluster| drop(small_disk(&cluster.data, 200)));
    config_map(&cluster, "before").unwrap();
    let load = Load::of(&cluster);
    let store = cluster.data.join("store");
    let device = become_read_only(&store);
    write_until_refused(&cluster, &load);
    check_stopped(&cluster, &load, "Read-only file system");
    cluster.stop_server();
    remount(&device, &store);
    check_after_a_restart(&mut cluster, load);
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

/// The disk has space, but does not keep what is written, since where its blocks are there is none.
#[test]
fn a_sync_that_fails_stops_writes_and_not_reads_and_a_restart_goes_on_when_the_disk_is_sound() {
    let mut cluster = Cluster::control_plane_over(&[], |cluster| {
        let backing = cluster.data.join("backing");
        fs::create_dir(&backing).unwrap();
        succeed(Command::new("mount").args(["-t", "tmpfs", "-o", "size=96M", "tmpfs", text(&backing)]));
        disk_upon_another(&cluster.data, 300);
    });
    let (backing, store) = (cluster.data.join("backing"), cluster.data.join("store"));
    config_map(&cluster, "before").unwrap();
    let load = Load::of(&cluster);
    fill(&backing.join("ballast"));
    let refusal = write_until_refused(&cluster, &load);
    // The device says so to whoever syncs; the file system has space.
    assert!(refusal.contains("No space left on device"), "{refusal}");
    let free = succeed(Command::new("df").args(["--output=avail", text(&store)]));
    assert!(free.lines().last().unwrap().trim().parse::<u64>().unwrap() > 100_000, "{free}");
    check_stopped(&cluster, &load, "No space left on device");
    fs::remove_file(backing.join("ballast")).unwrap();
    cluster.stop_server();
    remount(&device(&store), &store);
    check_after_a_restart(&mut cluster, load);
    cluster.stop_server();
    unmount_both(&backing, &store);
}

/// The disk takes nothing any more, as one that breaks: what is written into the kernel's memory never reaches it.
#[test]
fn a_disk_that_breaks_stops_writes_and_not_reads_and_a_restart_goes_on_when_it_is_sound() {
    let mut cluster = Cluster::control_plane_over(&[], |cluster| {
        let (image, backing) = (cluster.data.with_extension("img"), cluster.data.join("backing"));
        fs::create_dir(&backing).unwrap();
        succeed(Command::new("truncate").args(["--size", "500M", text(&image)]));
        succeed(Command::new("mkfs.ext4").args(["-q", "-m", "0", text(&image)]));
        succeed(Command::new("mount").args(["-o", "loop,errors=remount-ro", text(&image), text(&backing)]));
        fs::remove_file(image).unwrap();
        disk_upon_another(&cluster.data, 300);
    });
    let (backing, store) = (cluster.data.join("backing"), cluster.data.join("store"));
    config_map(&cluster, "before").unwrap();
    let load = Load::of(&cluster);
    let running = load.start(&cluster, LOAD);
    running.until_acknowledged(50);
    let broken = become_read_only(&backing);
    let refusal = running.until_refused();
    running.stop();
    assert!(refusal.contains("Input/output error"), "{refusal}");
    check_stopped(&cluster, &load, "Input/output error");
    cluster.stop_server();
    unmount(&store);
    remount(&broken, &backing);
    mend(text(&backing.join("disk")));
    mount_from_file(&backing.join("disk"), &store);
    check_after_a_restart(&mut cluster, load);
    cluster.stop_server();
    unmount_both(&backing, &store);
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
