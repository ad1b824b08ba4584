//! One mounted hierarchy of cgroups, v1 or v2: how a cgroup is made in it and what is written there. Knows no pods.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cri::v1::LinuxContainerResources;

/// A mounted hierarchy: where, and which controllers it has; none means v2.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hierarchy {
    mount: PathBuf,
    controllers: Vec<String>,
    pub(super) is_v2: bool,
}

impl Hierarchy {
    pub(super) fn path(&self, cgroup: &str) -> PathBuf {
        self.mount.join(cgroup.trim_start_matches('/'))
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    pub(super) fn ensure(&self, cgroup: &str, wanted: &LinuxContainerResources) -> io::Result<()> {
        if self.is_v2 {
            self.make_v2(cgroup)?;
        } else {
            self.make_v1(cgroup)?;
        }
        self.set(cgroup, wanted)
    }

    /// Sets how much a cgroup gets beside its siblings, if it is there and processors are what the hierarchy is about.
    pub(super) fn set_shares(&self, path: &Path, shares: i64) -> io::Result<()> {
        let (file, value) = if self.is_v2 { ("cpu.weight", weight(shares)) } else { ("cpu.shares", shares) };
        if path.join(file).exists() { write(path, file, value) } else { Ok(()) }
    }

    pub(super) fn set(&self, cgroup: &str, wanted: &LinuxContainerResources) -> io::Result<()> {
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

/// The cgroup hierarchies in a mountinfo table; v2's counts only where it is the one with controllers.
pub(super) fn hierarchies(table: &str) -> Vec<Hierarchy> {
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
    fn shares_become_weight() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }
}
