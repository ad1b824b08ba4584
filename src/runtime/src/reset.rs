//! Stops and removes everything that a runtime left on the machine. Works from the files alone: no runtime need run, and
//! none may.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cgroups::Cgroups;
use crate::container::Container;
use crate::error::{At, Error, Result};
use crate::process::{self, Identity};
use crate::sandbox::Sandbox;
use crate::shim::sandbox::PAUSE_FILE;
use crate::{files, snapshots};

const END_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Kills every sandbox and container under `root`, unmounts, removes its cgroups and files. Idempotent. Links and rules of
/// the pod network are that implementation's to remove.
///
/// # Errors
/// When something of it could not be removed; the rest is removed all the same where that is possible.
pub fn reset(root: &Path, cgroup_root: &str) -> Result<()> {
    let cgroups = Cgroups::read()?;
    let (processes, mut paths) = find_processes(root)?;
    paths.push(cgroup_root.to_owned());
    kill_all(&cgroups, processes, &paths)?;
    for mount in linux::mounts::below(root).at("read", linux::MOUNT_TABLE)? {
        snapshots::unmount(&mount)?;
    }
    for path in &paths {
        until_done(|| cgroups.remove(path))?;
    }
    files::remove_tree(root)
}

/// The processes that the files name, and the cgroups of containers.
fn find_processes(root: &Path) -> Result<(Vec<Identity>, Vec<String>)> {
    let (mut processes, mut cgroups) = (Vec::new(), Vec::new());
    for directory in directories_in(&root.join("sandboxes"))? {
        if let Some(sandbox) = Sandbox::load(directory.clone())? {
            let monitor = sandbox.monitor_identity();
            processes.extend(monitor);
            // The children of a monitor that still runs are its containers, whatever state their files are in.
            if let Some(monitor) = monitor.filter(|monitor| monitor.is_alive()) {
                processes.extend(process::children_of(monitor.pid).into_iter().filter_map(Identity::of));
            }
        }
        let pause = files::read_text(&directory.join(PAUSE_FILE))?;
        processes.extend(pause.and_then(|text| text.parse::<Identity>().ok()));
    }
    for directory in directories_in(&root.join("containers"))? {
        if let Some(container) = Container::load(directory)? {
            cgroups.push(container.record.cgroup_path.clone());
            processes.extend(container.running().ok());
        }
    }
    Ok((processes, cgroups))
}

/// Monitors first would be wrong: a monitor that lives while its containers die writes down nothing that matters now, but one that dies
/// first leaves them to somebody else.
fn kill_all(cgroups: &Cgroups, processes: Vec<Identity>, paths: &[String]) -> Result<()> {
    let mut all = processes;
    all.extend(paths.iter().flat_map(|path| cgroups.processes(path)).filter_map(Identity::of));
    all.iter().rev().for_each(|process| process.signal(Signal::SIGKILL));
    until_done(|| match all.iter().find(|process| process.is_alive()) {
        Some(process) => Err(Error::Shim(format!("process {} does not end", process.pid))),
        None => Ok(()),
    })
}

/// Tries again for a while: the kernel takes its time with killed processes.
fn until_done(mut step: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        match step() {
            Err(_) if start.elapsed() < END_TIMEOUT => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

fn directories_in(directory: &Path) -> Result<Vec<PathBuf>> {
    Ok(files::names_in(directory)?.into_iter().map(|name| directory.join(name)).collect())
}
