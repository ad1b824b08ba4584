//! `coxswain reset`: removes everything that a cluster left on the machine, from the outside in, and its data last, so
//! that a reset which was cut short can be repeated.

use std::path::Path;

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
    for mount in runtime::mounts_below(held.path()).context("cannot see what is mounted")? {
        umount2(&mount, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    std::fs::remove_dir_all(held.path())
        .with_context(|| format!("cannot remove {}", held.path().display()))?;
    println!("removed the cluster in {}", held.path().display());
    Ok(())
}
