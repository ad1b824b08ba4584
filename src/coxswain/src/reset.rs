//! `coxswain reset`: removes everything that a cluster left on the machine, from the outside in, and its data last, so
//! that a reset which was cut short can be repeated. Where the data directory is gone, its path still names the rest.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use nix::mount::{MntFlags, umount2};

use crate::datadir::{self, DataDir};
use crate::output::say;
use crate::store;

/// Removes containers, mounts, links, rules, cgroups and data of the cluster in `data_dir`.
///
/// # Errors
/// The directory is not a cluster's or its server still runs; anything that could not be removed.
pub(crate) fn run(data_dir: &Path) -> anyhow::Result<()> {
    let Some(held) = DataDir::hold_existing(data_dir)? else {
        let path = datadir::resolved(data_dir)
            .with_context(|| format!("cannot tell where {} was", data_dir.display()))?;
        clean(&path)?;
        say(format_args!(
            "{} does not exist; what its cluster may have left on this machine is removed",
            path.display()
        ))?;
        return Ok(());
    };
    let elsewhere = store::elsewhere(held.path());
    clean(held.path())?;
    match std::fs::remove_dir_all(held.path()) {
        // A file system of its own is mounted there: what is in it is removed, and it stays mounted.
        Err(error) if error.kind() == ErrorKind::ResourceBusy && is_empty(held.path()) => {}
        removed => removed.with_context(|| format!("cannot remove {}", held.path().display()))?,
    }
    say(format_args!("removed the cluster in {}", held.path().display()))?;
    if let Some(place) = elsewhere {
        say(format_args!(
            "its state is not on this machine and stays: it is {place}; other servers may use it, and a server that is started \
             with these --store flags goes on with it. To remove it for good, stop all of them, then: coxswain store remove \
             --accept-loss with the same flags"
        ))?;
    }
    Ok(())
}

/// Removes what is outside the data directory at `path`, and what is mounted in it.
fn clean(path: &Path) -> anyhow::Result<()> {
    runtime::reset(&path.join("runtime"), &datadir::cgroup_root(path))
        .context("cannot remove the containers")?;
    network::reset(&datadir::instance(path)).context("cannot remove links and rules")?;
    let mounts = runtime::mounts_below(path).context("cannot see what is mounted")?;
    for mount in mounts.into_iter().filter(|mount| mount != path) {
        umount2(&mount, MntFlags::MNT_DETACH)
            .with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    Ok(())
}

fn is_empty(directory: &Path) -> bool {
    directory.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use nix::mount::{MsFlags, mount};

    use super::*;

    #[test]
    fn a_directory_that_is_a_file_system_of_its_own_is_emptied_and_stays_mounted() {
        let data = std::env::temp_dir().join(format!("coxswain-reset-{}", std::process::id()));
        std::fs::create_dir(&data).unwrap();
        mount(Some("none"), &data, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        drop(DataDir::hold(&data).unwrap());
        std::fs::create_dir(data.join("pki")).unwrap();
        std::fs::write(data.join("pki/ca.key"), "secret").unwrap();
        run(&data).unwrap();
        assert!(is_empty(&data));
        assert_eq!(runtime::mounts_below(&data).unwrap(), [data.canonicalize().unwrap()]);
        umount2(&data, MntFlags::MNT_DETACH).unwrap();
        std::fs::remove_dir(&data).unwrap();
    }
}
