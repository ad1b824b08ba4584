//! The cgroup of each pod, below which its containers' are made by the runtime.
//!
//! `<root>/kubepods/pod<uid>` for guaranteed pods, `<root>/kubepods/<class>/pod<uid>` for the others, in every v1 hierarchy or in
//! the one of v2. Controls the pod as a whole; what a single container may use is the runtime's to set.

use std::{fs, io, path::Path};

use cri::v1::LinuxContainerResources;
use k8s_openapi::api::core::v1::Pod;

use self::{
    hierarchy::Hierarchy,
    tiers::{Requests, Tiers},
};
use crate::{pod, spec::resources};

mod hierarchy;
mod tiers;

#[derive(Debug)]
pub(crate) struct Cgroups {
    root: String,
    hierarchies: Vec<Hierarchy>,
    /// Of all pods together.
    shares: i64,
    tiers: Tiers,
}

impl Cgroups {
    /// The hierarchies of this machine, of which pods may use `milli_cpu`. An empty `root` leaves cgroups to the runtime.
    pub(crate) fn find(root: &str, milli_cpu: i64) -> Self {
        let hierarchies = if root.is_empty() { Ok(Vec::new()) } else { hierarchy::all() };
        let hierarchies = hierarchies.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot see the hierarchies of cgroups: pods are not limited as a whole");
            Vec::new()
        });
        let shares = resources::shares(milli_cpu);
        Self { root: root.to_owned(), hierarchies, shares, tiers: Tiers::default() }
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
        self.hierarchies.iter().try_for_each(|hierarchy| hierarchy.ensure(&parent, &wanted))?;
        self.weigh(|requests| requests.add(pod))
    }

    /// Sets the limits of the pod's cgroup, where there is one. Idempotent.
    pub(crate) fn limit(&self, pod: &Pod) -> io::Result<()> {
        let parent = self.parent(pod);
        let wanted = resources::of_pod(pod);
        let mut present =
            self.hierarchies.iter().filter(|hierarchy| hierarchy.path(&parent).exists()).peekable();
        if present.peek().is_none() {
            return Ok(());
        }
        present.try_for_each(|hierarchy| hierarchy.set(&parent, &wanted))?;
        self.weigh(|requests| requests.add(pod))
    }

    /// Changes who counts, then says how much all pods, and each class of them, get beside others.
    fn weigh(&self, change: impl FnOnce(&mut Requests<'_>)) -> io::Result<()> {
        let mut requests = self.tiers.requests();
        change(&mut requests);
        let kubepods = format!("{}/kubepods", self.root);
        for hierarchy in &self.hierarchies {
            let path = hierarchy.path(&kubepods);
            hierarchy.set_shares(&path, self.shares)?;
            for (class, shares) in requests.shares() {
                hierarchy.set_shares(&path.join(class), shares)?;
            }
        }
        Ok(())
    }

    /// Removes the pod's cgroup, whichever class it is in. Idempotent.
    pub(crate) fn remove(&self, uid: &str) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            for class in ["", "burstable", "besteffort"] {
                let kubepods = hierarchy.path(&format!("{}/kubepods", self.root));
                remove_tree(&kubepods.join(class).join(format!("pod{uid}")))?;
            }
        }
        self.weigh(|requests| requests.remove(uid))
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

#[cfg(test)]
mod tests {
    use super::{hierarchy::weight, *};

    #[test]
    fn a_pods_cgroup_is_made_found_and_removed() {
        let root = format!("/coxswain-test-{:x}", rand::random::<u64>());
        let cgroups = Cgroups::find(&root, 3000);
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
    fn a_class_weighs_what_its_pods_request() {
        let root = format!("/coxswain-test-{:x}", rand::random::<u64>());
        let cgroups = Cgroups::find(&root, 3000);
        let pod = |uid: &str, resources: serde_json::Value| -> Pod {
            let spec = serde_json::json!({"containers": [{"name": "c", "resources": resources}]});
            serde_json::from_value(serde_json::json!({"metadata": {"uid": uid}, "spec": spec})).unwrap()
        };
        let requests = |cpu: &str| serde_json::json!({"requests": {"cpu": cpu}});
        let is_v2 = linux::cgroups::is_unified(&linux::cgroups::hierarchies().unwrap());
        let file = if is_v2 { "cpu.weight" } else { "cpu.shares" };
        let shares = |class: &str| -> i64 {
            let path = format!("{root}/kubepods/{class}/{file}");
            let mut found = cgroups.hierarchies.iter().map(|hierarchy| hierarchy.path(&path));
            let found = found.find(|path| path.exists()).expect("some hierarchy is about processors");
            fs::read_to_string(found).unwrap().trim().parse().unwrap()
        };
        for pod in [pod("a", requests("500m")), pod("b", requests("250m")), pod("c", serde_json::json!({}))] {
            cgroups.ensure(&pod).unwrap();
        }
        let together = ["", "burstable", "besteffort"].map(shares);
        cgroups.remove("a").unwrap();
        let after = shares("burstable");
        // A kubelet that starts anew finds the pods that are there.
        let next = Cgroups::find(&root, 3000);
        next.limit(&pod("b", requests("125m"))).unwrap();
        let found = shares("burstable");
        for uid in ["b", "c"] {
            cgroups.remove(uid).unwrap();
        }
        for hierarchy in &cgroups.hierarchies {
            remove_tree(&hierarchy.path(&root)).unwrap();
        }
        let written = |shares: i64| if is_v2 { weight(shares) } else { shares };
        assert_eq!(together, [3072, 768, 2].map(written));
        assert_eq!([after, found], [256, 128].map(written));
    }
}
