//! Logs that grow: they are kept within bounds, and who follows one misses nothing.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use crate::cluster::{Cluster, eventually, scratch};
use crate::images::image;

/// A little more than a log may have (10 MiB), in lines of 100 bytes.
const LINES: usize = 110_000;

#[test]
fn a_large_log_is_rotated_and_its_follower_misses_nothing() {
    let cluster = Cluster::start();
    let line = "x".repeat(99);
    let script = format!(
        "yes {line} | head -n {LINES}; echo first; until [ -e /tmp/go ]; do sleep 0.1; done; echo second; sleep 3600"
    );
    cluster.ok(&["run", "chatty", &format!("--image={}", image("web:v1")), "--", "sh", "-c", &script]);
    cluster.ok(&["wait", "--for=condition=Ready", "pod/chatty", "--timeout=60s"]);
    let followed = scratch("followed").join("log");
    let mut follower = cluster.kubectl_command();
    let mut follower = follower
        .args(["logs", "-f", "chatty"])
        .stdout(fs::File::create(&followed).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();

    eventually("the log is rotated", || (log_files(&cluster).len() == 2).then_some(()));
    cluster.ok(&["exec", "chatty", "--", "touch", "/tmp/go"]);
    eventually("the new file goes on", || {
        cluster.ok(&["logs", "chatty"]).ends_with("second\n").then_some(())
    });
    let rest = cluster.ok(&["logs", "chatty"]);
    assert!(rest.len() < LINES * 100, "the rotated file is not read again");

    let all = eventually("the follower has it, too", || {
        let all = fs::read_to_string(&followed).unwrap();
        all.ends_with("second\n").then_some(all)
    });
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(all, format!("{line}\n").repeat(LINES) + "first\nsecond\n");
    fs::remove_dir_all(followed.ancestors().nth(2).unwrap()).unwrap();
}

/// The files of the only container's log.
fn log_files(cluster: &Cluster) -> Vec<PathBuf> {
    let list =
        |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    list(cluster.data.join("logs/pods")).into_iter().flat_map(list).flat_map(list).collect()
}
