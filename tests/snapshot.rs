//! Snapshots of a cluster's state: saved while it is written to, restored elsewhere, taken by the server itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::cluster::{Cluster, eventually};
use crate::host::both;
use crate::kube_rs::create_until_refused;

/// A folder for snapshots that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn beside(cluster: &Cluster) -> Self {
        let path = cluster.data.with_extension("snapshots");
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// `coxswain snapshot …`, which must succeed; what it printed.
fn snapshot(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.snapshot(arguments);
    assert!(output.status.success(), "snapshot {arguments:?}: {}", both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The same, which must fail.
fn refused(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.snapshot(arguments);
    assert!(!output.status.success(), "snapshot {arguments:?} succeeded: {}", both(&output));
    both(&output)
}

pub(crate) fn items(cluster: &Cluster, query: &str) -> Vec<Value> {
    let list = cluster.ok(&["get", "--raw", &format!("/api/v1/namespaces/default/configmaps{query}")]);
    let mut list: Value = serde_json::from_str(&list).unwrap();
    serde_json::from_value(list["items"].take()).unwrap()
}

/// Writes until it is told to stop; by then something was written while whatever was done in between was done.
fn write_until(cluster: &Cluster, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    let kubeconfig = cluster.kubeconfig();
    cluster.host.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut written = 0;
            let writing = create_until_refused(&kubeconfig, "load", |_| written += 1);
            let stopped = async {
                while !stop.load(Ordering::Relaxed) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                error = writing => panic!("a write was refused: {error}"),
                () = stopped => {}
            }
            written
        })
    })
}

/// The revision in `saved … objects of revision N (…)`.
fn revision(printed: &str) -> u64 {
    let (_, rest) = printed.split_once("of revision ").unwrap_or_else(|| panic!("{printed}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn saved_under_write_load_it_restores_into_a_fresh_directory_and_old_watches_get_410() {
    let mut old = Cluster::control_plane(&[]);
    let folder = Folder::beside(&old);
    let (file, secret) = (folder.file("a.snapshot"), folder.file("passphrase"));
    fs::write(&secret, "correct horse battery staple\n").unwrap();
    let passphrase = ["--passphrase-file", &secret];
    old.ok(&["create", "configmap", "before", "--from-literal=a=1"]);

    let stop = Arc::new(AtomicBool::new(false));
    let writing = write_until(&old, stop.clone());
    eventually("writes go on", || (items(&old, "").len() > 50).then_some(()));
    let data = old.data.to_str().unwrap().to_owned();
    let saved = snapshot(&old, &[&["save", &file, "--data-dir", &data], &passphrase[..]].concat());
    let during = items(&old, "").len();
    eventually("writes go on", || (items(&old, "").len() > during).then_some(()));
    stop.store(true, Ordering::Relaxed);
    assert!(writing.join().unwrap() > 50);

    let revision = revision(&saved);
    let then = items(&old, &format!("?resourceVersion={revision}&resourceVersionMatch=Exact"));
    assert!(then.len() > 50 && then.len() < items(&old, "").len());
    let tip: Value = serde_json::from_str(&old.ok(&["get", "--raw", "/api/v1/configmaps?limit=1"])).unwrap();
    let tip = tip["metadata"]["resourceVersion"].as_str().unwrap().to_owned();

    check_listed(&old, &folder, &file, &passphrase, revision);
    check_authorization(&old);
    old.stop_server();
    let offline = snapshot(&old, &["save", &folder.file("offline.snapshot"), "--data-dir", &data]);
    assert!(self::revision(&offline) >= tip.parse().unwrap(), "{offline}");

    let new = Cluster::control_plane_over(&[], |cluster| {
        let data = cluster.data.to_str().unwrap().to_owned();
        let restore = [&["restore", &file, "--data-dir", &data], &passphrase[..]].concat();
        let printed = snapshot(cluster, &restore);
        assert!(printed.contains(&format!("of revision {revision} into")), "{printed}");
        assert!(refused(cluster, &restore).contains("not empty"));
    });
    let restored: Vec<Value> = items(&new, "");
    let same = |items: Vec<Value>| -> Vec<Value> {
        // What every control plane writes for itself when it starts: its own authority.
        items.into_iter().filter(|item| item["metadata"]["name"] != "kube-root-ca.crt").collect()
    };
    assert_eq!(same(restored), same(then));
    for before in [revision.to_string(), tip] {
        let path = format!("/api/v1/configmaps?watch=true&resourceVersion={before}&timeoutSeconds=60");
        let answer = both(&new.kubectl(&["get", "--raw", &path]));
        assert!(answer.contains("\"code\":410") || answer.contains("too old resource version"), "{answer}");
    }
    new.ok(&["create", "configmap", "after", "--from-literal=a=1"]);
    let after: Value = serde_json::from_str(&new.ok(&["get", "configmap", "after", "-o", "json"])).unwrap();
    let written: u64 = after["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(written > revision + 1_000_000_000, "{written}");
}

fn check_listed(cluster: &Cluster, folder: &Folder, file: &str, passphrase: &[&str], revision: u64) {
    let listed = snapshot(cluster, &["ls", folder.0.to_str().unwrap()]);
    assert!(listed.contains("a.snapshot") && listed.contains(&revision.to_string()), "{listed}");
    assert!(refused(cluster, &["verify", file]).contains("it is encrypted: give the passphrase"));
    let verified = snapshot(cluster, &[&["verify", file], passphrase].concat());
    assert!(verified.contains(&format!("is whole: revision {revision}")), "{verified}");
    let data = cluster.data.to_str().unwrap();
    assert!(refused(cluster, &["save", file, "--data-dir", data]).contains("it exists already"));
    let into = refused(cluster, &[&["restore", file, "--data-dir", data], passphrase].concat());
    assert!(into.contains("in use by process"), "{into}");
    check_damaged(cluster, folder, file, passphrase);
}

fn check_damaged(cluster: &Cluster, folder: &Folder, file: &str, passphrase: &[&str]) {
    let whole = fs::read(file).unwrap();
    let damaged = folder.file("damaged.bin");
    let target = Path::new(&damaged).with_extension("data");
    let restore = ["restore", &damaged, "--data-dir", target.to_str().unwrap()];
    let mut altered = whole.clone();
    altered[whole.len() / 2] ^= 1;
    for (bytes, expected) in [(&whole[..whole.len() - 1], "cut short"), (&altered, "damaged")] {
        fs::write(&damaged, bytes).unwrap();
        let printed = refused(cluster, &[&restore, passphrase].concat());
        assert!(printed.contains(expected) && printed.contains("damaged.bin"), "{printed}");
        assert!(!target.exists());
    }
}

fn check_authorization(cluster: &Cluster) {
    let printed = cluster.fails(&["get", "--raw", "/coxswain/snapshot", "--as", "somebody"]);
    assert!(printed.contains("forbidden"), "{printed}");
}

#[test]
fn a_server_takes_snapshots_by_itself_and_keeps_the_newest() {
    let folder = std::env::temp_dir().join(format!("coxswain-scheduled-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let folder = Folder(folder);
    let to: &'static str = Box::leak(folder.0.to_str().unwrap().to_owned().into_boxed_str());
    let cluster =
        Cluster::control_plane(&["--snapshot-to", to, "--snapshot-every", "1s", "--snapshot-keep", "2"]);
    let taken = || {
        let files = fs::read_dir(to).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        files.filter(|name| name.starts_with("scheduled-")).collect::<Vec<_>>()
    };
    let first = eventually("a snapshot is taken", || taken().pop());
    eventually("it makes room for later ones", || (!taken().contains(&first)).then_some(()));
    let listed = snapshot(&cluster, &["ls", to]);
    assert!((2..=4).contains(&listed.matches("scheduled-").count()), "{listed}");
}
