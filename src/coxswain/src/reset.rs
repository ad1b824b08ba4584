//! `coxswain reset`: removes everything that a cluster left on the machine, from the outside in, and its data last, so
//! that a reset which was cut short can be repeated.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::mount::{MntFlags, umount2};

use crate::datadir::DataDir;

/// Removes containers, mounts, links, rules, cgroups and data of the cluster in `data_dir`.
///
/// # Errors
/// The directory is not a cluster's or its server still runs; anything that could not be removed.
pub(crate) fn run(data_dir: &Path) -> anyhow::Result<()> {
    let Some(held) = DataDir::hold_existing(data_dir)? else {
        println!("nothing to remove: {} does not exist", data_dir.display());
        return Ok(());
    };
    runtime::reset(&held.join("runtime"), &held.cgroup_root()).context("cannot remove the containers")?;
    network::reset(&held.instance()).context("cannot remove links and rules")?;
    for mount in mounts_below(held.path())? {
        umount2(&mount, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    std::fs::remove_dir_all(held.path())
        .with_context(|| format!("cannot remove {}", held.path().display()))?;
    println!("removed the cluster in {}", held.path().display());
    Ok(())
}

/// Mount points below a directory, the innermost first.
fn mounts_below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescaped)
        .filter(|point| point.starts_with(directory) && point != directory)
        .collect();
    mounts.reverse();
    Ok(mounts)
}

/// The kernel writes space, tab, newline and backslash in a path as a backslash and three octal digits.
fn unescaped(path: &str) -> PathBuf {
    let mut pieces = path.split('\\');
    let mut plain = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let escape = piece.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.extend(escape);
        plain.extend_from_slice(&piece.as_bytes()[if escape.is_some() { 3 } else { 0 }..]);
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_read_as_the_kernel_escapes_it() {
        let check = |escaped: &str, plain: &str| assert_eq!(unescaped(escaped), Path::new(plain));
        check("/var/lib/coxswain", "/var/lib/coxswain");
        check(r"/my\040data\134/x\011", "/my data\\/x\t");
    }
}
