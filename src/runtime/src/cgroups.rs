//! Control groups of version 1, 2 and both beside each other, as far as libcontainer leaves them to us: where a path
//! is, removal, out-of-memory counts. Sets no limits.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use linux::cgroups::{self, Hierarchy};

use crate::error::{At, Result};

/// All hierarchies of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    pub(crate) hierarchies: Vec<Hierarchy>,
}

impl Cgroups {
    /// Reads what is mounted.
    pub(crate) fn read() -> Result<Self> {
        Ok(Self { hierarchies: cgroups::hierarchies().at("read", linux::MOUNT_TABLE)? })
    }

    /// Whether resources are controlled by version 2 alone.
    pub(crate) fn is_unified(&self) -> bool {
        cgroups::is_unified(&self.hierarchies)
    }

    /// Where `path` is in the hierarchy of a controller.
    pub(crate) fn directory(&self, controller: &str, path: &str) -> Option<PathBuf> {
        let found = self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller));
        let found = found.or_else(|| self.hierarchies.first().filter(|_| self.is_unified()));
        found.map(|hierarchy| hierarchy.path(path))
    }

    /// Whether the kernel can control this.
    pub(crate) fn has_controller(&self, controller: &str) -> bool {
        if !self.is_unified() {
            return self.directory(controller, "/").is_some();
        }
        let list = self.hierarchies.first().map(|h| fs::read_to_string(h.mount.join("cgroup.controllers")));
        list.and_then(Result::ok).is_some_and(|list| list.split_whitespace().any(|name| name == controller))
    }

    /// Where `path` is in every hierarchy.
    pub(crate) fn directories(&self, path: &str) -> Vec<PathBuf> {
        self.hierarchies.iter().map(|hierarchy| hierarchy.path(path)).collect()
    }

    /// Makes `path` everywhere and answers the files that a process joins it by.
    pub(crate) fn make(&self, path: &str) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for directory in self.directories(path) {
            fs::create_dir_all(&directory).at("create", &directory)?;
            // A cpuset without processors or memory takes no process; it gets what its parent has.
            for name in ["cpuset.cpus", "cpuset.mems"] {
                inherit(&directory, name)?;
            }
            files.push(directory.join("cgroup.procs"));
        }
        Ok(files)
    }

    /// The `cgroup.procs` files of the groups that a process is in.
    pub(crate) fn of_process(&self, pid: i32) -> Result<Vec<PathBuf>> {
        let path = format!("/proc/{pid}/cgroup");
        let text = fs::read_to_string(&path).at("read", &path)?;
        Ok(text.lines().filter_map(|line| self.procs_file(line)).collect())
    }

    /// A line of `/proc/<pid>/cgroup`: `number:controller,…:/path`.
    fn procs_file(&self, line: &str) -> Option<PathBuf> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let named: Vec<String> =
            controllers.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
        let hierarchy = self.hierarchies.iter().find(|h| h.controllers == named)?;
        Some(hierarchy.path(path).join("cgroup.procs"))
    }

    /// Removes `path` with all below it, everywhere. Processes in it must be gone.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        self.directories(path).iter().try_for_each(|directory| remove_directory(directory))
    }

    /// How often the kernel killed for want of memory in `path`.
    pub(crate) fn oom_kills(&self, path: &str) -> u64 {
        let Some(directory) = self.directory("memory", path) else { return 0 };
        let name = if self.is_unified() { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(directory.join(name)).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|n| n.trim().parse().ok())
            .unwrap_or(0)
    }

    /// All processes in `path` and below.
    pub(crate) fn processes(&self, path: &str) -> Vec<i32> {
        let mut found = Vec::new();
        self.directories(path).iter().for_each(|directory| collect_processes(directory, &mut found));
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn inherit(directory: &Path, name: &str) -> Result<()> {
    let file = directory.join(name);
    match fs::read_to_string(&file) {
        Ok(text) if text.trim().is_empty() => {}
        _ => return Ok(()),
    }
    let parent = directory.parent().expect("a group is below its mount");
    inherit(parent, name)?;
    let value = fs::read_to_string(parent.join(name)).unwrap_or_default();
    if value.trim().is_empty() {
        return Ok(());
    }
    fs::write(&file, value.trim()).at("write", &file)
}

fn remove_directory(directory: &Path) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).at("list", directory),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_directory(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).at("remove", directory),
        _ => Ok(()),
    }
}

fn collect_processes(directory: &Path, found: &mut Vec<i32>) {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_processes(&entry.path(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
40 24 0:28 /x /sys/fs/cgroup/copy rw - cgroup cgroup rw,name=systemd";

    #[test]
    fn hierarchies_are_found_by_controller_whatever_their_version() {
        let hybrid = Cgroups { hierarchies: cgroups::parse(HYBRID) };
        assert!(!hybrid.is_unified());
        assert_eq!(hybrid.hierarchies.len(), 3);
        assert_eq!(
            hybrid.directory("cpuacct", "/a/b"),
            Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a/b"))
        );
        assert_eq!(hybrid.directory("memory", "/a"), None);
        let procs = |line: &str| hybrid.procs_file(line);
        assert_eq!(
            procs("4:cpu,cpuacct:/a"),
            Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/a/cgroup.procs"))
        );
        assert_eq!(procs("0::/a"), Some(PathBuf::from("/sys/fs/cgroup/unified/a/cgroup.procs")));

        let unified =
            Cgroups { hierarchies: cgroups::parse("30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw") };
        assert!(unified.is_unified());
        assert_eq!(unified.directory("memory", "/a"), Some(PathBuf::from("/sys/fs/cgroup/a")));
    }
}
