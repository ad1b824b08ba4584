//! What a cluster has on its machine beside its files: cgroups, mounts, links, tables, processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::Cluster;
use crate::host::succeed;

impl Cluster {
    /// The cluster's cgroup in every hierarchy, where it is. Its name follows from the data directory's path.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let digest = Sha256::digest(self.data.as_os_str().as_encoded_bytes());
        let name: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let root = PathBuf::from("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
        let places = hierarchies.chain([root.clone()]).map(|path| path.join(format!("coxswain-{name}")));
        places.filter(|path| path.exists()).collect()
    }

    /// Where something is mounted in the data directory.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        points.filter(|point| Path::new(point).starts_with(&self.data)).map(str::to_owned).collect()
    }

    /// What the machine still holds of this cluster.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let mut found = Vec::new();
        let data = self.data.to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(data)).map(|line| format!("mount {line}")));
        let links = succeed(Command::new("ip").args(["-n", &self.host.name, "-br", "link"]));
        let ours = links.lines().filter(|line| !line.starts_with("lo ") && !line.starts_with("uplink@"));
        found.extend(ours.map(|line| format!("link {line}")));
        let tables = succeed(self.host.command("nft").args(["list", "tables"]));
        found.extend(tables.lines().map(|line| format!("nftables {line}")));
        if self.data.exists() {
            found.push(format!("directory {data}"));
        }
        found.extend(processes_naming(data).into_iter().map(|process| format!("process {process}")));
        found.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        // The log and the manifests that stood beside the data are removed by those who wrote them.
        if let Err(error) = fs::remove_dir(self.data.parent().unwrap()) {
            found.push(format!("beside {data}: {error}"));
        }
        found
    }
}

/// Processes whose command line names a path.
pub(crate) fn processes_naming(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(path) {
            found.push(format!("{} {command}", entry.file_name().display()));
        }
    }
    found
}
