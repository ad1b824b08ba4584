//! The cgroup of each pod, below which its containers' are made by the runtime.
//!
//! `<root>/kubepods/pod<uid>` for guaranteed pods, `<root>/kubepods/<class>/pod<uid>` for the others, in every v1 hierarchy or in
//! the one of v2. Controls the pod as a whole; what a single container may use is the runtime's to set.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cri::v1::LinuxContainerResources;
use k8s_openapi::api::core::v1::Pod;

use crate::{pod, spec::resources};

#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    root: String,
    hierarchies: Vec<Hierarchy>,
}

/// A mounted hierarchy: where, and which controllers it has; none means v2.
#[derive(Clone, Debug, PartialEq)]
struct Hierarchy {
    mount: PathBuf,
    controllers: Vec<String>,
    is_v2: bool,
}

impl Cgroups {
    /// The hierarchies of this machine. An empty `root` leaves cgroups to the runtime.
    pub(crate) fn find(root: &str) -> Self {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let hierarchies = if root.is_empty() { Vec::new() } else { hierarchies(&table) };
        Self { root: root.to_owned(), hierarchies }
    }

    /// The parent cgroup of the pod's containers, as the runtime is told.
    pub(crate) fn parent(&self, pod: &Pod) -> String {
        if self.root.is_empty() {
            return String::new();
        }
        let class = match objects::pod::qos_class(pod) {
            "Burstable" => "/burstable",
            "BestEffort" => "/besteffort",
            _ => "",
        };
        format!("{}/kubepods{class}/pod{}", self.root, pod::uid(pod))
    }

    /// Makes the pod's cgroup, and lifts its limits: making a container in it takes more than a small pod may have.
    /// Idempotent.
    pub(crate) fn ensure(&self, pod: &Pod) -> io::Result<()> {
        let parent = self.parent(pod);
        let wanted =
            LinuxContainerResources { cpu_quota: 0, memory_limit_in_bytes: 0, ..resources::of_pod(pod) };
        self.hierarchies.iter().try_for_each(|hierarchy| hierarchy.ensure(&parent, &wanted))
    }

    /// Sets the limits of the pod's cgroup, where there is one. Idempotent.
    pub(crate) fn limit(&self, pod: &Pod) -> io::Result<()> {
        let parent = self.parent(pod);
        let wanted = resources::of_pod(pod);
        let present = self.hierarchies.iter().filter(|hierarchy| hierarchy.path(&parent).exists());
        present.into_iter().try_for_each(|hierarchy| hierarchy.set(&parent, &wanted))
    }

    /// Removes the pod's cgroup, whichever class it is in. Idempotent.
    pub(crate) fn remove(&self, uid: &str) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            for class in ["", "burstable", "besteffort"] {
                let kubepods = hierarchy.path(&format!("{}/kubepods", self.root));
                remove_tree(&kubepods.join(class).join(format!("pod{uid}")))?;
            }
        }
        Ok(())
    }

    /// The uids of all pods that have a cgroup.
    pub(crate) fn pods(&self) -> io::Result<Vec<String>> {
        let mut uids = Vec::new();
        for hierarchy in &self.hierarchies {
            for class in ["", "burstable", "besteffort"] {
                uids.extend(pods_in(&hierarchy.path(&format!("{}/kubepods", self.root)).join(class))?);
            }
        }
        uids.sort();
        uids.dedup();
        Ok(uids)
    }
}

impl Hierarchy {
    fn path(&self, cgroup: &str) -> PathBuf {
        self.mount.join(cgroup.trim_start_matches('/'))
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    fn ensure(&self, cgroup: &str, wanted: &LinuxContainerResources) -> io::Result<()> {
        if self.is_v2 {
            self.make_v2(cgroup)?;
        } else {
            self.make_v1(cgroup)?;
        }
        self.set(cgroup, wanted)
    }

    fn set(&self, cgroup: &str, wanted: &LinuxContainerResources) -> io::Result<()> {
        let path = self.path(cgroup);
        if self.is_v2 {
            return set_v2(&path, wanted);
        }
        if self.has("cpu") {
            write(&path, "cpu.shares", wanted.cpu_shares)?;
            write(&path, "cpu.cfs_period_us", wanted.cpu_period)?;
            write(&path, "cpu.cfs_quota_us", if wanted.cpu_quota > 0 { wanted.cpu_quota } else { -1 })?;
        }
        if self.has("memory") {
            let limit = wanted.memory_limit_in_bytes;
            write(&path, "memory.limit_in_bytes", if limit > 0 { limit } else { -1 })?;
        }
        Ok(())
    }

    /// A v1 cpuset starts empty and must be given its parent's processors before anything can enter.
    fn make_v1(&self, cgroup: &str) -> io::Result<()> {
        let mut path = self.mount.clone();
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            let parent = path.clone();
            path.push(part);
            make(&path)?;
            if self.has("cpuset") {
                inherit(&parent, &path, "cpuset.cpus")?;
                inherit(&parent, &path, "cpuset.mems")?;
            }
        }
        Ok(())
    }

    /// A v2 controller must be handed down from every parent.
    fn make_v2(&self, cgroup: &str) -> io::Result<()> {
        let mut path = self.mount.clone();
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            hand_down(&path);
            path.push(part);
            make(&path)?;
        }
        hand_down(&path);
        Ok(())
    }
}

/// The uids of the pods of one class; before the first there is no such directory.
fn pods_in(class: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(class) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut uids = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        uids.extend(name.to_str().and_then(|name| name.strip_prefix("pod")).map(str::to_owned));
    }
    Ok(uids)
}

fn hand_down(path: &Path) {
    let available = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        let written = fs::write(path.join("cgroup.subtree_control"), format!("+{controller}"));
        if let Err(error) = written {
            // A controller that cannot be handed down is missed where a limit needs it.
            tracing::debug!(path = %path.display(), controller, %error, "controller not handed down");
        }
    }
}

fn set_v2(path: &Path, wanted: &LinuxContainerResources) -> io::Result<()> {
    let controllers = fs::read_to_string(path.join("cgroup.controllers"))?;
    let has = |name: &str| controllers.split_whitespace().any(|controller| controller == name);
    if has("cpu") {
        write(path, "cpu.weight", weight(wanted.cpu_shares))?;
        let quota = if wanted.cpu_quota > 0 { wanted.cpu_quota.to_string() } else { "max".into() };
        write(path, "cpu.max", format!("{quota} {}", wanted.cpu_period))?;
    }
    if has("memory") {
        let limit = wanted.memory_limit_in_bytes;
        write(path, "memory.max", if limit > 0 { limit.to_string() } else { "max".into() })?;
    }
    Ok(())
}

/// v1's 2..=262144 on v2's 1..=10000 (upstream: CpuSharesToCpuWeight).
fn weight(shares: i64) -> i64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write(path: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    let path = path.join(file);
    fs::write(&path, value.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("writing {}: {error}", path.display())))
}

fn inherit(parent: &Path, path: &Path, file: &str) -> io::Result<()> {
    if !fs::read_to_string(path.join(file))?.trim().is_empty() {
        return Ok(());
    }
    let value = fs::read_to_string(parent.join(file))?;
    write(path, file, value.trim())
}

/// Cgroup directories are removed from the leaves; what they seem to contain is not removable.
fn remove_tree(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The cgroup hierarchies in a mountinfo table; v2's counts only where it is the one with controllers.
fn hierarchies(table: &str) -> Vec<Hierarchy> {
    let mut out: Vec<Hierarchy> = Vec::new();
    for line in table.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
        let mut right = right.split(' ');
        let (type_, options) = (right.next().unwrap_or_default(), right.nth(1).unwrap_or_default());
        let controllers: Vec<String> = match type_ {
            "cgroup" => options
                .split(',')
                .filter(|option| !matches!(*option, "rw" | "ro"))
                .map(str::to_owned)
                .collect(),
            "cgroup2" => Vec::new(),
            _ => continue,
        };
        let found = Hierarchy { mount, controllers, is_v2: type_ == "cgroup2" };
        let known = out.iter().any(|known| known.controllers == found.controllers);
        if !known {
            out.push(found);
        }
    }
    if out.iter().any(|hierarchy| !hierarchy.is_v2) {
        out.retain(|hierarchy| !hierarchy.is_v2);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: &str, expected: &[(&str, &[&str])]) {
        let found = hierarchies(table);
        let found: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|h| (h.mount.to_str().unwrap(), h.controllers.iter().map(String::as_str).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> = expected.iter().map(|(m, c)| (*m, c.to_vec())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn v1_hybrid_and_v2_are_told_apart() {
        let hybrid = "30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
            31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let cpu: &[&str] = &["cpu", "cpuacct"];
        check(hybrid, &[("/sys/fs/cgroup/cpu,cpuacct", cpu), ("/sys/fs/cgroup/memory", &["memory"])]);
        check("30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n", &[("/sys/fs/cgroup", &[])]);
    }

    #[test]
    fn a_pods_cgroup_is_made_found_and_removed() {
        let root = format!("/coxswain-test-{:x}", rand::random::<u64>());
        let cgroups = Cgroups::find(&root);
        let resources = serde_json::json!({"requests": {"cpu": "500m"}});
        let spec = serde_json::json!({"containers": [{"name": "c", "resources": resources}]});
        let pod = serde_json::json!({"metadata": {"uid": "u"}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(cgroups.parent(&pod), format!("{root}/kubepods/burstable/podu"));
        cgroups.limit(&pod).unwrap();
        cgroups.ensure(&pod).unwrap();
        cgroups.limit(&pod).unwrap();
        cgroups.ensure(&pod).unwrap();
        let found = cgroups.pods().unwrap();
        cgroups.remove("u").unwrap();
        let left = cgroups.pods().unwrap();
        for hierarchy in &cgroups.hierarchies {
            remove_tree(&hierarchy.path(&root)).unwrap();
        }
        assert_eq!((found, left), (vec!["u".to_owned()], Vec::new()));
    }

    #[test]
    fn shares_become_weight() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }
}
