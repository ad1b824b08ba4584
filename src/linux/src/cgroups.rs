//! The hierarchies of control groups that are mounted, of version 1, 2, or both beside each other. Makes no group.

use std::io;
use std::path::{Path, PathBuf};

use crate::MOUNT_TABLE;

/// Where service managers mount them.
const ROOT: &str = "/sys/fs/cgroup";

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// `memory`, `cpu`, `name=systemd`, …; empty for version 2.
    pub controllers: Vec<String>,
}

impl Hierarchy {
    /// Whether it is the one of version 2.
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Whether it is of version 1 and has this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// Where the group `path` is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }
}

/// All hierarchies of this machine.
///
/// # Errors
/// When the table of mounts cannot be read.
pub fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    Ok(parse(&std::fs::read_to_string(MOUNT_TABLE)?))
}

/// Whether version 2 alone is there to control resources.
pub fn is_unified(hierarchies: &[Hierarchy]) -> bool {
    hierarchies.iter().all(Hierarchy::is_v2)
}

/// The hierarchies in a table of mounts.
pub fn parse(table: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for hierarchy in table.lines().filter_map(hierarchy) {
        if !found.iter().any(|known| known.controllers == hierarchy.controllers) {
            found.push(hierarchy);
        }
    }
    found
}

fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    // The same hierarchy may be mounted in several places, for instance inside a container's root.
    if root != "/" || !Path::new(mount).starts_with(ROOT) {
        return None;
    }
    let controllers = match kind {
        "cgroup2" => Vec::new(),
        "cgroup" => options.split(',').filter(|option| is_controller(option)).map(str::to_owned).collect(),
        _ => return None,
    };
    Some(Hierarchy { mount: PathBuf::from(mount), controllers })
}

/// Options of a mount are controllers and a few words more.
fn is_controller(option: &str) -> bool {
    !["rw", "ro", "xattr", "clone_children", "noprefix"].contains(&option)
        && !option.starts_with("release_agent=")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
40 24 0:28 /x /sys/fs/cgroup/copy rw - cgroup cgroup rw,name=systemd
41 24 0:27 / /srv/root/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";

    #[test]
    fn versions_are_told_apart_and_copies_are_left_out() {
        let found = parse(HYBRID);
        let shown: Vec<String> =
            found.iter().map(|h| format!("{} {:?}", h.mount.display(), h.controllers)).collect();
        assert_eq!(
            shown,
            [
                r#"/sys/fs/cgroup/cpu,cpuacct ["cpu", "cpuacct"]"#,
                r#"/sys/fs/cgroup/systemd ["name=systemd"]"#,
                "/sys/fs/cgroup/unified []",
            ]
        );
        assert!(!is_unified(&found) && found[0].has("cpuacct") && found[2].is_v2());
        let unified = parse("30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw");
        assert!(is_unified(&unified));
        assert_eq!(unified[0].path("/a/b"), Path::new("/sys/fs/cgroup/a/b"));
    }
}
