//! Requests and limits: what the kernel is told, and what becomes of a container that takes more.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cluster::{Cluster, eventually};
use crate::images::image;

#[test]
fn a_small_pod_starts_is_limited_and_killed_when_it_takes_more() {
    let cluster = Cluster::start();
    let image = image("web:v1");
    cluster.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: small}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: {image}
    command: [sh, -c, "trap exit TERM; sleep 3600 & wait"]
    resources: {{limits: {{memory: 16Mi, cpu: 10m}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: greedy}}
spec:
  containers:
  - name: main
    image: {image}
    command: [sh, -c, "[ -e /kept/again ] && sleep 3600; touch /kept/again; tail /dev/zero"]
    resources: {{limits: {{memory: 16Mi, cpu: 500m}}}}
    volumeMounts: [{{name: kept, mountPath: /kept}}]
  volumes: [{{name: kept, emptyDir: {{}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: modest}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: {image}
    command: [sh, -c, "trap exit TERM; sleep 3600 & wait"]
"#
    ));
    cluster.ok(&["wait", "--for=condition=Ready", "pod/small", "--timeout=60s"]);
    let uid = cluster.ok(&["get", "pod", "small", "-o", "jsonpath={.metadata.uid}"]);
    let id =
        cluster.ok(&["get", "pod", "small", "-o", "jsonpath={.status.containerStatuses[0].containerID}"]);
    assert_eq!(cluster.ok(&["get", "pod", "small", "-o", "jsonpath={.status.qosClass}"]), "Guaranteed");
    for group in [format!("pod{uid}"), id.rsplit('/').next().unwrap().to_owned()] {
        check("memory", &group, &["memory.limit_in_bytes", "memory.max"], "16777216");
        check("cpu", &group, &["cpu.cfs_quota_us", "cpu.max"], "1000");
    }
    // On version 2 upstream's kubelet and its runtimes count differently.
    let container = id.rsplit('/').next().unwrap();
    for (group, weight) in [(format!("pod{uid}").as_str(), "1"), (container, "4")] {
        check("cpu", group, &["cpu.shares", "cpu.weight"], if is_unified() { weight } else { "10" });
    }
    // Pods that ask for nothing share what the least of those that ask has.
    cluster.ok(&["wait", "--for=condition=Ready", "pod/modest", "--timeout=60s"]);
    let tier = cluster.cgroups().iter().find_map(|root| {
        let group = root.join("kubepods/besteffort");
        ["cpu.shares", "cpu.weight"].iter().find_map(|file| fs::read_to_string(group.join(file)).ok())
    });
    assert_eq!(tier.as_deref().map(str::trim), Some(if is_unified() { "1" } else { "2" }));
    assert_eq!(cluster.ok(&["exec", "small", "--", "echo", "in"]), "in\n");

    let last = "jsonpath={.status.containerStatuses[0].lastState.terminated.reason} \
        {.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].ready}";
    eventually("it was killed and runs again", || {
        (cluster.ok(&["get", "pod", "greedy", "-o", last]) == "OOMKilled 137 true").then_some(())
    });
}

/// The file of a group, whichever of its names there is, begins with a value.
fn check(controller: &str, group: &str, names: &[&str], expected: &str) {
    let root = if is_unified() {
        PathBuf::from("/sys/fs/cgroup")
    } else {
        Path::new("/sys/fs/cgroup").join(controller)
    };
    let group = find(&root, group).unwrap_or_else(|| panic!("no group {group} of {controller}"));
    let text = names.iter().find_map(|name| fs::read_to_string(group.join(name)).ok()).unwrap();
    assert_eq!(text.split_whitespace().next(), Some(expected), "{names:?} of {}", group.display());
}

fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The directory of that name below another.
fn find(root: &Path, name: &str) -> Option<PathBuf> {
    let directories =
        fs::read_dir(root).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    directories.into_iter().find_map(|path| {
        if path.file_name().is_some_and(|own| own == name) { Some(path) } else { find(&path, name) }
    })
}
