//! `coxswain reset`: removes everything that a cluster left on the machine, from the outside in, and its data last, so
//! that a reset which was cut short can be repeated. Where the data directory is gone, its path still names the rest.

use std::path::Path;

use anyhow::Context;
use nix::mount::{MntFlags, umount2};

use crate::datadir::{self, DataDir};

/// Removes containers, mounts, links, rules, cgroups and data of the cluster in `data_dir`.
///
/// # Errors
/// The directory is not a cluster's or its server still runs; anything that could not be removed.
pub(crate) fn run(data_dir: &Path) -> anyhow::Result<()> {
    let Some(held) = DataDir::hold_existing(data_dir)? else {
        let path = datadir::resolved(data_dir)
            .with_context(|| format!("cannot tell where {} was", data_dir.display()))?;
        clean(&path)?;
        println!(
            "{} does not exist; what its cluster may have left on this machine is removed",
            path.display()
        );
        return Ok(());
    };
    clean(held.path())?;
    std::fs::remove_dir_all(held.path())
        .with_context(|| format!("cannot remove {}", held.path().display()))?;
    println!("removed the cluster in {}", held.path().display());
    Ok(())
}

/// Removes what is outside the data directory at `path`, and what is mounted in it.
fn clean(path: &Path) -> anyhow::Result<()> {
    runtime::reset(&path.join("runtime"), &datadir::cgroup_root(path))
        .context("cannot remove the containers")?;
    network::reset(&datadir::instance(path)).context("cannot remove links and rules")?;
    for mount in runtime::mounts_below(path).context("cannot see what is mounted")? {
        umount2(&mount, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    Ok(())
}
