//! What was deleted leaves nothing on the node: no link, rule, mount, cgroup, process or directory.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, eventually, processes_naming, text};
use crate::deployment::web;
use crate::host::succeed;

#[test]
fn pods_and_services_that_were_deleted_leave_nothing_behind() {
    let cluster = Cluster::start();
    let before = traces(&cluster);
    cluster.apply(&web(2, "v1"));
    cluster.ok(&["wait", "--for=condition=Available", "deployment/web", "--timeout=60s"]);
    let during = traces(&cluster);
    for kind in ["link ", "rule ", "mount ", "cgroup ", "process ", "directory "] {
        let new = during.difference(&before).any(|trace| trace.starts_with(kind));
        assert!(new, "a running pod has no {kind}that could be left behind: {during:#?}");
    }
    cluster.ok(&["delete", "deployment,service", "web"]);
    let mut left = BTreeSet::new();
    let gone = eventually_or("nothing is left", || {
        left = traces(&cluster).difference(&before).cloned().collect();
        left.is_empty()
    });
    assert!(gone, "left behind: {left:#?}");
}

/// Whether it became so before [`eventually`] gives up, so that the caller can say what was left.
fn eventually_or(what: &str, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(100);
    eventually(what, || if holds() { Some(true) } else { (Instant::now() > end).then_some(false) })
}

/// All that stands on the machine for pods and services, a line each. What only counts or ages is left out.
fn traces(cluster: &Cluster) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let links = succeed(Command::new("ip").args(["-n", &cluster.host.name, "-br", "link"]));
    found.extend(links.lines().filter_map(|line| Some(format!("link {}", line.split(' ').next()?))));
    let rules = succeed(cluster.host.command("nft").args(["--stateless", "list", "ruleset"]));
    // Elements of a map stand in one line.
    let parts = rules.split([',', '\n', '{', '}']).map(str::trim).filter(|part| !part.is_empty());
    found.extend(parts.map(|part| format!("rule {part}")));
    found.extend(cluster.mounts().into_iter().map(|point| format!("mount {point}")));
    for root in cluster.cgroups() {
        let groups = directories(&root, 8).into_iter().filter(|path| !is_the_nodes(path));
        found.extend(groups.map(|path| format!("cgroup {path}")));
    }
    found.extend(
        processes_naming(text(&cluster.data)).into_iter().map(|process| format!("process {process}")),
    );
    for (folder, depth) in [("kubelet", 3), ("runtime/sandboxes", 2), ("network", 2), ("logs", 3)] {
        let inside = directories(&cluster.data.join(folder), depth);
        found.extend(inside.into_iter().map(|path| format!("directory {path}")));
    }
    found
}

/// Groups that the node makes for its first pod and keeps.
fn is_the_nodes(group: &str) -> bool {
    ["kubepods", "besteffort", "burstable", "monitors"]
        .iter()
        .any(|name| group.ends_with(&format!("/{name}")))
}

/// Directories below one, down to a depth. One that is removed meanwhile has nothing in it.
fn directories(root: &Path, depth: usize) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let below: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    let deeper = below.iter().filter(|_| depth > 1).flat_map(|path| directories(path, depth - 1));
    below.iter().map(|path| path.display().to_string()).chain(deeper).collect()
}
