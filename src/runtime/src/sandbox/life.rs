//! The steps of a sandbox's life: run, stop, remove, and what happens when its monitor is lost.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cri::v1;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};

use super::{NETNS, Record, SHM, Sandbox, is_node, namespace_options};
use crate::container::life as containers;
use crate::core::{Core, blocking};
use crate::error::{At, Error, Result};
use crate::monitor::Monitor;
use crate::process::Identity;
use crate::shim::sandbox::{PLAN_FILE, Plan, READY};
use crate::{clock, files, snapshots, spec};

/// How long the shim may take before it is given up.
const SHIM_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process may take to vanish after KILL, or a monitor to end.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the instance's own cgroup: where all monitors live.
const MONITORS_CGROUP: &str = "monitors";

/// Makes a sandbox; answers its ID. On failure nothing is left.
pub(crate) async fn run(
    core: &Arc<Core>,
    config: v1::PodSandboxConfig,
    runtime_handler: String,
) -> Result<String> {
    check(&config, &runtime_handler)?;
    let id = files::random_id();
    let directory = core.sandbox_dir(&id);
    files::make_dir(&directory)?;
    let record = Record {
        id: id.clone(),
        config,
        runtime_handler,
        created_at_ns: clock::now_ns(),
        boot_id: core.boot_id.clone(),
        ips: Vec::new(),
        monitor: String::new(),
        is_stopped: false,
    };
    let sandbox = Arc::new(Sandbox::create(directory, record)?);
    if let Err(e) = set_up(core, &sandbox).await {
        if let Err(left) = remove_all(core, &sandbox).await {
            tracing::warn!(sandbox = id, error = %left, "a failed sandbox left something behind");
        }
        return Err(e);
    }
    core.sandboxes.insert(&id, sandbox);
    Ok(id)
}

fn check(config: &v1::PodSandboxConfig, runtime_handler: &str) -> Result<()> {
    if config.metadata.is_none() {
        return Err(Error::Invalid("sandbox config must include metadata".to_owned()));
    }
    if !runtime_handler.is_empty() {
        return Err(Error::Invalid(format!("no runtime for {runtime_handler:?} is configured")));
    }
    let user_namespace = namespace_options(config).userns_options;
    if user_namespace.is_some_and(|options| !is_node(options.mode)) {
        return Err(Error::Unsupported("user namespaces are not supported by this runtime".to_owned()));
    }
    let security = config.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    spec::refuse_labels(security.and_then(|security| security.selinux_options.as_ref()))
}

async fn set_up(core: &Arc<Core>, sandbox: &Arc<Sandbox>) -> Result<()> {
    let record = sandbox.record();
    let options = namespace_options(&record.config);
    let has_network = !is_node(options.network);
    {
        let (core, sandbox, record) = (Arc::clone(core), Arc::clone(sandbox), record.clone());
        blocking(move || prepare_directory(&core, &sandbox, &record)).await?;
    }
    let identity = start_shim(core, sandbox).await?;
    sandbox.update(|record| record.monitor = identity.to_string())?;
    let monitor = Monitor::connect(&sandbox.directory, &sandbox.id, core.notices.clone()).await?;
    sandbox.set_monitor(Some(monitor));
    if has_network {
        // Ports without one of the host are there for the reader only.
        let ports = record.config.port_mappings.iter().filter(|port| port.host_port > 0);
        let ports: Vec<v1::PortMapping> = ports.cloned().collect();
        let attached = core.config.network.attach(&sandbox.id, &sandbox.directory.join(NETNS), &ports).await;
        let ips = attached.map_err(|source| Error::Network { sandbox: sandbox.id.clone(), source })?;
        sandbox.update(|record| record.ips = ips)?;
    }
    Ok(())
}

/// Writes and mounts what the shim and the containers find in the sandbox's directory.
fn prepare_directory(core: &Core, sandbox: &Sandbox, record: &Record) -> Result<()> {
    let options = namespace_options(&record.config);
    let has_network = !is_node(options.network);
    let has_ipc = !is_node(options.ipc);
    spec::write_sandbox_files(&sandbox.directory, &record.config, has_network)?;
    let shm = sandbox.directory.join(SHM);
    files::make_dir(&shm)?;
    if has_ipc {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("shm"), &shm, Some("tmpfs"), flags, Some("mode=1777,size=65536k")).at("mount", &shm)?;
    } else {
        mount(Some("/dev/shm"), &shm, None::<&str>, MsFlags::MS_BIND, None::<&str>).at("mount", &shm)?;
    }
    let linux = record.config.linux.clone().unwrap_or_default();
    let plan = Plan {
        monitor: core.monitor_program.clone(),
        join: core.cgroups.make(&format!("{}/{MONITORS_CGROUP}", core.config.cgroup_root))?,
        network: has_network.then(|| sandbox.directory.join(NETNS)),
        ipc: has_ipc,
        // On the host's network a pod has the host's name.
        hostname: has_network.then(|| record.config.hostname.clone()),
        shared_pid: options.pid == v1::NamespaceMode::Pod as i32,
        sysctls: linux.sysctls.into_iter().collect(),
    };
    files::write_json(&sandbox.directory.join(PLAN_FILE), &plan)
}

/// Starts the shim and waits until it has become the monitor.
async fn start_shim(core: &Core, sandbox: &Sandbox) -> Result<Identity> {
    let mut child = tokio::process::Command::new(&core.config.executable)
        .args(["shim", "sandbox"])
        .arg(&sandbox.directory)
        .current_dir("/")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .at("execute", &core.config.executable)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    let identity = pid.and_then(Identity::of).ok_or_else(|| Error::Shim("it ended at once".to_owned()))?;
    let mut said = String::new();
    let stdout = child.stdout.as_mut().expect("asked for above");
    let heard = tokio::time::timeout(SHIM_TIMEOUT, stdout.read_to_string(&mut said)).await;
    if heard.is_err() {
        identity.signal(Signal::SIGKILL);
        return Err(Error::Shim("it did not answer in time".to_owned()));
    }
    // From here on the child lives on its own; the process is reaped in the background when it ends before us.
    match said.trim() {
        READY => Ok(identity),
        "" => Err(Error::Shim("it ended without a word".to_owned())),
        other => Err(Error::Shim(other.trim_start_matches("error: ").to_owned())),
    }
}

/// Kills what runs in a sandbox and gives back its network.
pub(crate) async fn stop(core: &Arc<Core>, sandbox: &Arc<Sandbox>) -> Result<()> {
    let _turn = sandbox.turn.lock().await;
    let was_stopped = sandbox.record().is_stopped;
    for container in core.containers_of(&sandbox.id) {
        containers::kill(core, &container).await?;
    }
    tear_down(core, sandbox).await?;
    if !was_stopped {
        core.tell(v1::ContainerEventType::ContainerStoppedEvent, &sandbox.id, &sandbox.id);
    }
    Ok(())
}

async fn tear_down(core: &Arc<Core>, sandbox: &Arc<Sandbox>) -> Result<()> {
    let record = sandbox.record();
    if !is_node(namespace_options(&record.config).network) {
        let detached = core.config.network.detach(&sandbox.id).await;
        detached.map_err(|source| Error::Network { sandbox: sandbox.id.clone(), source })?;
    }
    // Before the monitor goes, so that its end is not taken for a loss.
    sandbox.update(|record| record.is_stopped = true)?;
    end_monitor(core, sandbox).await?;
    let directory = sandbox.directory.clone();
    blocking(move || {
        let pin = directory.join(NETNS);
        snapshots::unmount(&pin)?;
        files::remove_file(&pin)?;
        snapshots::unmount(&directory.join(SHM))
    })
    .await
}

async fn end_monitor(core: &Core, sandbox: &Sandbox) -> Result<()> {
    let Some(identity) = sandbox.monitor_identity().filter(|_| sandbox.record().boot_id == core.boot_id)
    else {
        return Ok(());
    };
    let pause = files::read_text(&sandbox.directory.join(crate::shim::sandbox::PAUSE_FILE))?;
    if let Some(pause) = pause.and_then(|text| text.parse::<Identity>().ok()) {
        pause.signal(Signal::SIGKILL);
    }
    if let Ok(monitor) = sandbox.monitor()
        && monitor.end().await.is_ok()
        && has_ended(identity).await
    {
        return Ok(());
    }
    identity.signal(Signal::SIGKILL);
    if has_ended(identity).await {
        return Ok(());
    }
    Err(Error::Shim(format!("monitor {} of sandbox {} does not end", identity.pid, sandbox.id)))
}

/// Waits for the end of a process by its descriptor.
async fn has_ended(identity: Identity) -> bool {
    let Some(process) = identity.open() else { return true };
    // SAFETY: an `OwnedFd` keeps its descriptor open and the same.
    let Ok(process) = (unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) }) else {
        return !identity.is_alive();
    };
    tokio::time::timeout(END_TIMEOUT, process.readable()).await.is_ok()
}

/// Removes a sandbox with its containers.
pub(crate) async fn remove(core: &Arc<Core>, sandbox: &Arc<Sandbox>) -> Result<()> {
    stop(core, sandbox).await?;
    for container in core.containers_of(&sandbox.id) {
        containers::remove(core, &container).await?;
    }
    let _turn = sandbox.turn.lock().await;
    remove_all(core, sandbox).await?;
    core.sandboxes.remove(&sandbox.id);
    remove_empty_cgroup(core, sandbox);
    Ok(())
}

async fn remove_all(core: &Arc<Core>, sandbox: &Arc<Sandbox>) -> Result<()> {
    tear_down(core, sandbox).await?;
    let directory = sandbox.directory.clone();
    blocking(move || files::remove_tree(&directory)).await
}

/// The pod's own cgroup is the kubelet's, but where nobody made it before us it is ours to take away.
fn remove_empty_cgroup(core: &Core, sandbox: &Sandbox) {
    let parent = cgroup_parent(core, &sandbox.record().config);
    let is_shared =
        core.sandboxes.all().iter().any(|other| cgroup_parent(core, &other.record().config) == parent);
    if !is_shared && parent != core.config.cgroup_root {
        for directory in core.cgroups.directories(&parent) {
            // Somebody else's processes or groups in it are a reason to leave it.
            drop(std::fs::remove_dir(directory));
        }
    }
}

/// Below which cgroup a sandbox's containers are.
pub(crate) fn cgroup_parent(core: &Core, config: &v1::PodSandboxConfig) -> String {
    let parent = config.linux.as_ref().map(|linux| linux.cgroup_parent.as_str()).unwrap_or_default();
    let parent = if parent.is_empty() { &core.config.cgroup_root } else { parent };
    parent.trim_end_matches('/').to_owned()
}

/// A monitor is gone. Unless that was wanted, its containers cannot be watched any more and end.
pub(crate) async fn lose_monitor(core: &Arc<Core>, id: &str) {
    let Ok(sandbox) = core.sandboxes.find(id) else { return };
    sandbox.set_monitor(None);
    if sandbox.record().is_stopped {
        return;
    }
    tracing::warn!(sandbox = id, "the sandbox's monitor is gone");
    for container in core.containers_of(id) {
        containers::abandon(core, &container).await;
    }
    core.tell(v1::ContainerEventType::ContainerStoppedEvent, id, id);
}
