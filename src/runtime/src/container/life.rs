//! The steps of a container's life: create, start, stop, remove, and what is done when it has ended.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cri::v1;
use nix::sys::signal::Signal;

use super::{Container, Outcome, Record, State};
use crate::core::{Core, blocking};
use crate::error::{Error, Result};
use crate::images::{Image, ImageConfig};
use crate::limits::AtStart;
use crate::monitor::Create;
use crate::process::Identity;
use crate::sandbox::{self, Sandbox};
use crate::{clock, files, snapshots, spec};

/// How long a container may take to vanish after KILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel takes away processes of a cgroup a moment after they are killed.
const CGROUP_TRIES: u32 = 50;
const CGROUP_PAUSE: Duration = Duration::from_millis(20);

/// Prepares a container in a ready sandbox; answers its ID. On failure nothing is left.
pub(crate) async fn create(
    core: &Arc<Core>,
    sandbox: &Arc<Sandbox>,
    config: v1::ContainerConfig,
) -> Result<String> {
    sandbox.monitor()?;
    if config.metadata.is_none() {
        return Err(Error::Invalid("container config must include metadata".to_owned()));
    }
    let id = files::random_id();
    let container = {
        let (core, sandbox, id) = (Arc::clone(core), Arc::clone(sandbox), id.clone());
        blocking(move || prepare(&core, &sandbox, &id, config)).await?
    };
    core.containers.insert(&id, Arc::new(container));
    core.tell(v1::ContainerEventType::ContainerCreatedEvent, &id, &sandbox.id);
    Ok(id)
}

fn prepare(core: &Core, sandbox: &Sandbox, id: &str, config: v1::ContainerConfig) -> Result<Container> {
    // Until the record says that the layers are in use.
    let _present = core.images.hold_for_adding()?;
    let name = config.image.as_ref().map(|image| image.image.as_str()).unwrap_or_default();
    let image = core.images.find(name)?;
    let image =
        image.ok_or_else(|| Error::NotFound(format!("failed to resolve image {name:?}: not found")))?;
    let image_config = core.images.config(&image)?;
    let sandbox_config = sandbox.record().config;
    let mut record = Record {
        id: id.to_owned(),
        sandbox: sandbox.id.clone(),
        image_ref: image.digests.first().unwrap_or(&image.id).clone(),
        image_name: image_name(&image, &config),
        image_id: image.id,
        layers: image.layers,
        log_path: log_path(&sandbox_config, &config),
        created_at_ns: clock::now_ns(),
        stop_signal: stop_signal(&image_config) as i32,
        cgroup_path: format!("{}/{id}", sandbox::life::cgroup_parent(core, &sandbox_config)),
        user: v1::LinuxContainerUser::default(),
        config,
    };
    let directory = core.container_dir(id);
    files::make_dir(&directory)?;
    let made = make_bundle(core, sandbox, &image_config, &directory, &record).and_then(|user| {
        record.user = user;
        Container::create(directory.clone(), record)
    });
    made.inspect_err(|_| {
        if let Err(e) = discard(&directory) {
            tracing::warn!(error = %e, "a failed container left something behind");
        }
    })
}

/// Mounts the root file system and writes the specification.
fn make_bundle(
    core: &Core,
    sandbox: &Sandbox,
    image: &ImageConfig,
    directory: &Path,
    record: &Record,
) -> Result<v1::LinuxContainerUser> {
    let security = spec::security_context(&record.config);
    let layers = core.images.layer_dirs(&record.layers);
    let rootfs = snapshots::make(directory, &layers, security.privileged)?;
    let output = spec::make(&spec::Input {
        config: &record.config,
        sandbox: &sandbox.record().config,
        image,
        rootfs: &rootfs,
        sandbox_dir: &sandbox.directory,
        cgroup_path: &record.cgroup_path,
        cgroups: &core.cgroups,
        pid_namespace: pid_namespace(core, sandbox, &security)?,
    })?;
    AtStart::of(&record.config, &record.cgroup_path).write(directory)?;
    files::write_json(&directory.join("config.json"), &output.spec)?;
    Ok(output.user)
}

fn pid_namespace(
    core: &Core,
    sandbox: &Sandbox,
    security: &v1::LinuxContainerSecurityContext,
) -> Result<spec::PidNamespace> {
    let options = security.namespace_options.clone().unwrap_or_else(|| v1::NamespaceOption {
        pid: v1::NamespaceMode::Container as i32,
        ..v1::NamespaceOption::default()
    });
    match v1::NamespaceMode::try_from(options.pid) {
        Ok(v1::NamespaceMode::Node) => Ok(spec::PidNamespace::Host),
        Ok(v1::NamespaceMode::Container) | Err(_) => Ok(spec::PidNamespace::New),
        Ok(v1::NamespaceMode::Target) => {
            Ok(spec::PidNamespace::Of(core.containers.find(&options.target_id)?.running()?.pid))
        }
        Ok(v1::NamespaceMode::Pod) => {
            let pause = files::read_text(&sandbox.directory.join(crate::shim::sandbox::PAUSE_FILE))?;
            let pause = pause.and_then(|text| text.parse::<Identity>().ok()).filter(|pause| pause.is_alive());
            let pause = pause.ok_or_else(|| {
                Error::Invalid("the sandbox was not made with a shared process namespace".to_owned())
            })?;
            Ok(spec::PidNamespace::Of(pause.pid))
        }
    }
}

/// As containerd: a tag, or else a digest; empty for an image without a name.
fn image_name(image: &Image, config: &v1::ContainerConfig) -> String {
    let asked = config.image.as_ref().map(|image| image.user_specified_image.as_str()).unwrap_or_default();
    let names = || image.tags.iter().chain(&image.digests);
    names().find(|name| *name == asked).or_else(|| names().next()).cloned().unwrap_or_default()
}

fn log_path(sandbox: &v1::PodSandboxConfig, config: &v1::ContainerConfig) -> String {
    if sandbox.log_directory.is_empty() || config.log_path.is_empty() {
        return String::new();
    }
    PathBuf::from(&sandbox.log_directory).join(&config.log_path).to_string_lossy().into_owned()
}

/// `SIGQUIT`, `QUIT` or `3`; TERM where the image says nothing that is known.
fn stop_signal(image: &ImageConfig) -> Signal {
    let text = image.config.stop_signal.trim();
    let by_number = text.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
    let by_name = || Signal::from_str(&format!("SIG{}", text.trim_start_matches("SIG"))).ok();
    by_number.or_else(by_name).unwrap_or(Signal::SIGTERM)
}

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
        let signal = Signal::try_from(container.record.stop_signal).unwrap_or(Signal::SIGTERM);
        identity.signal(signal);
        if tokio::time::timeout(timeout, container.wait_exited()).await.is_ok() {
            return Ok(());
        }
    }
    kill(core, container).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_are_known_by_name_and_number() {
        for (text, expected) in [
            ("", Signal::SIGTERM),
            ("SIGQUIT", Signal::SIGQUIT),
            ("INT", Signal::SIGINT),
            ("9", Signal::SIGKILL),
        ] {
            let mut image = ImageConfig::default();
            image.config.stop_signal = text.to_owned();
            assert_eq!(stop_signal(&image), expected, "{text}");
        }
    }
}
