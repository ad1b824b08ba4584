//! The steps of a container's life after `create`: start, stop, remove, and what is done when it has ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cri::v1;
use nix::sys::signal::Signal;

use super::{Container, Outcome, State};
use crate::core::{Core, blocking};
use crate::error::{Error, Result};
use crate::monitor::Create;
use crate::process::Identity;
use crate::{clock, files, snapshots};

/// How long a container may take to vanish after KILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to see whether a program that has just begun catches signals by now; doubled each time up to the second.
const DEAF_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_DEAF_PAUSE: Duration = Duration::from_millis(500);
/// The kernel takes away processes of a cgroup a moment after they are killed.
const CGROUP_TRIES: u32 = 50;
const CGROUP_PAUSE: Duration = Duration::from_millis(20);

/// Runs a created container.
pub(crate) async fn start(core: &Arc<Core>, container: &Arc<Container>) -> Result<()> {
    let _turn = container.turn.lock().await;
    if container.state() != State::Created {
        return Err(Error::Precondition(format!("container is in {} state", container.state().name())));
    }
    let record = &container.record;
    let monitor = core.sandboxes.find(&record.sandbox)?.monitor()?;
    let started = monitor
        .create(Create {
            id: &record.id,
            executable: &core.config.executable,
            directory: &container.directory,
            log: &record.log_path,
            tty: record.config.tty,
            stdin: record.config.stdin,
            stdin_once: record.config.stdin_once,
        })
        .await;
    match started {
        Ok(started) => {
            container.set_running(started);
            core.tell(v1::ContainerEventType::ContainerStartedEvent, &record.id, &record.sandbox);
            Ok(())
        }
        Err(e) => {
            clear_cgroup(core, &record.cgroup_path).await;
            container.set_exited(Outcome::of_failed_start(e.to_string(), clock::now_ns()))?;
            core.tell(v1::ContainerEventType::ContainerStoppedEvent, &record.id, &record.sandbox);
            Err(e)
        }
    }
}

/// Asks a container to stop, and kills it when it has not after `timeout`.
pub(crate) async fn stop(core: &Arc<Core>, container: &Arc<Container>, timeout: Duration) -> Result<()> {
    let State::Running { identity, .. } = container.state() else { return Ok(()) };
    if !timeout.is_zero() {
        let asked =
            async { tokio::join!(ask(identity, container.record.stop_signal), container.wait_exited()) };
        if tokio::time::timeout(timeout, asked).await.is_ok() {
            return Ok(());
        }
    }
    kill(core, container).await
}

/// Sends the signal that asks a process to end, as soon as it would get it: sent too early it is lost, and the container
/// would live on until it is killed.
async fn ask(process: Identity, signal: i32) {
    let mut pause = DEAF_PAUSE;
    while !process.heeds(signal) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_DEAF_PAUSE);
    }
    process.signal_number(signal);
}

/// Ends a container at once; that it does not run is fine.
pub(crate) async fn kill(core: &Arc<Core>, container: &Arc<Container>) -> Result<()> {
    let State::Running { identity, .. } = container.state() else { return Ok(()) };
    identity.signal(Signal::SIGKILL);
    if !core.sandboxes.find(&container.record.sandbox).is_ok_and(|sandbox| sandbox.has_monitor()) {
        // Nobody is there who would tell us.
        abandon(core, container).await;
    }
    tokio::time::timeout(KILL_TIMEOUT, container.wait_exited())
        .await
        .map_err(|_| Error::Deadline(format!("container {} does not end after KILL", container.record.id)))
}

/// Removes a container, killing it if need be.
pub(crate) async fn remove(core: &Arc<Core>, container: &Arc<Container>) -> Result<()> {
    kill(core, container).await?;
    let _turn = container.turn.lock().await;
    let record = &container.record;
    clear_cgroup(core, &record.cgroup_path).await;
    let directory = container.directory.clone();
    blocking(move || discard(&directory)).await?;
    core.containers.remove(&record.id);
    core.tell(v1::ContainerEventType::ContainerDeletedEvent, &record.id, &record.sandbox);
    Ok(())
}

/// Unmounts and removes a container's directory.
pub(crate) fn discard(directory: &Path) -> Result<()> {
    snapshots::unmount(&directory.join(snapshots::ROOTFS))?;
    files::remove_tree(directory)
}

/// A container's first process has ended: what else it had goes too, and everybody is told.
pub(crate) async fn finish(core: &Arc<Core>, container: &Arc<Container>, code: i32, at_ns: i64) {
    // A start that is under way comes first: its answer was sent before the exit.
    let _turn = container.turn.lock().await;
    let State::Running { started_at_ns, .. } = container.state() else { return };
    // The count goes with the cgroup.
    let was_oom = core.cgroups.oom_kills(&container.record.cgroup_path) > 0;
    end(core, container, Outcome::of_exit(code, started_at_ns, at_ns, was_oom)).await;
}

/// A container that nobody watches any more.
pub(crate) async fn abandon(core: &Arc<Core>, container: &Arc<Container>) {
    let _turn = container.turn.lock().await;
    let State::Running { identity, started_at_ns } = container.state() else { return };
    identity.signal(Signal::SIGKILL);
    end(core, container, Outcome::unknown(started_at_ns, clock::now_ns())).await;
}

/// Finishes what was cut short for a container that ended while no runtime was there.
pub(crate) async fn settle(core: &Arc<Core>, container: &Arc<Container>) {
    let State::Exited(mut outcome) = container.state() else { return };
    if container.is_settled() {
        return;
    }
    if outcome.reason == "Error" && core.cgroups.oom_kills(&container.record.cgroup_path) > 0 {
        outcome.reason = "OOMKilled".to_owned();
    }
    end(core, container, outcome).await;
}

async fn end(core: &Arc<Core>, container: &Arc<Container>, outcome: Outcome) {
    let record = &container.record;
    clear_cgroup(core, &record.cgroup_path).await;
    if let Err(e) = container.set_exited(outcome) {
        tracing::error!(container = record.id, error = %e, "cannot write down how a container ended");
    }
    core.tell(v1::ContainerEventType::ContainerStoppedEvent, &record.id, &record.sandbox);
}

/// Kills whatever is left in a cgroup (processes outlive the first one where they share its namespace with others) and removes it.
async fn clear_cgroup(core: &Arc<Core>, path: &str) {
    let mut last = None;
    for _ in 0..CGROUP_TRIES {
        let (cgroups, path) = (core.cgroups.clone(), path.to_owned());
        let cleared = blocking(move || {
            cgroups
                .processes(&path)
                .into_iter()
                .filter_map(Identity::of)
                .for_each(|p| p.signal(Signal::SIGKILL));
            cgroups.remove(&path)
        });
        match cleared.await {
            Ok(()) => return,
            Err(e) => last = Some(e),
        }
        tokio::time::sleep(CGROUP_PAUSE).await;
    }
    if let Some(e) = last {
        tracing::warn!(cgroup = path, error = %e, "cgroup stays");
    }
}
