//! One mounted hierarchy of cgroups, v1 or v2: how a cgroup is made in it and what is written there. Knows no pods.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cri::v1::LinuxContainerResources;

/// A mounted hierarchy that controls what pods use.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hierarchy(linux::cgroups::Hierarchy);

/// Those of this machine: the one of version 2 counts only where it has the controllers.
pub(super) fn all() -> io::Result<Vec<Hierarchy>> {
    let mut found = linux::cgroups::hierarchies()?;
    if !linux::cgroups::is_unified(&found) {
        found.retain(|hierarchy| !hierarchy.is_v2());
    }
    Ok(found.into_iter().map(Hierarchy).collect())
}

impl Hierarchy {
    pub(super) fn path(&self, cgroup: &str) -> PathBuf {
        self.0.path(cgroup)
    }

    pub(super) fn ensure(&self, cgroup: &str, wanted: &LinuxContainerResources) -> io::Result<()> {
        if self.0.is_v2() {
            self.make_v2(cgroup)?;
        } else {
            self.make_v1(cgroup)?;
        }
        self.set(cgroup, wanted)
    }

    /// Sets how much a cgroup gets beside its siblings, if it is there and processors are what the hierarchy is about.
    pub(super) fn set_shares(&self, path: &Path, shares: i64) -> io::Result<()> {
        let (file, value) =
            if self.0.is_v2() { ("cpu.weight", weight(shares)) } else { ("cpu.shares", shares) };
        if path.join(file).exists() { write(path, file, value) } else { Ok(()) }
    }

    pub(super) fn set(&self, cgroup: &str, wanted: &LinuxContainerResources) -> io::Result<()> {
        let path = self.path(cgroup);
        if self.0.is_v2() {
            return set_v2(&path, wanted);
        }
        if self.0.has("cpu") {
            write(&path, "cpu.shares", wanted.cpu_shares)?;
            write(&path, "cpu.cfs_period_us", wanted.cpu_period)?;
            write(&path, "cpu.cfs_quota_us", if wanted.cpu_quota > 0 { wanted.cpu_quota } else { -1 })?;
        }
        if self.0.has("memory") {
            let limit = wanted.memory_limit_in_bytes;
            write(&path, "memory.limit_in_bytes", if limit > 0 { limit } else { -1 })?;
        }
        Ok(())
    }

    /// A v1 cpuset starts empty and must be given its parent's processors before anything can enter.
    fn make_v1(&self, cgroup: &str) -> io::Result<()> {
        let mut path = self.0.mount.clone();
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            let parent = path.clone();
            path.push(part);
            make(&path)?;
            if self.0.has("cpuset") {
                inherit(&parent, &path, "cpuset.cpus")?;
                inherit(&parent, &path, "cpuset.mems")?;
            }
        }
        Ok(())
    }

    /// A v2 controller must be handed down from every parent.
    fn make_v2(&self, cgroup: &str) -> io::Result<()> {
        let mut path = self.0.mount.clone();
        for part in cgroup.split('/').filter(|part| !part.is_empty()) {
            hand_down(&path);
            path.push(part);
            make(&path)?;
        }
        hand_down(&path);
        Ok(())
    }
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
pub(super) fn weight(shares: i64) -> i64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weight() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }
}
