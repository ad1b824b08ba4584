//! What the container runtime says about one pod, in the form that `plan` and `status` read.
//!
//! Made by [`observe`] from CRI lists by the pod's uid; changes nothing. A container that has ended is looked at once.

use std::{collections::HashMap, io::SeekFrom, path::Path};

use cri::v1;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::{server::logs, spec::labels};

/// The sandboxes and containers of one pod, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    pub sandboxes: Vec<Sandbox>,
    pub containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sandbox {
    pub id: String,
    pub attempt: u32,
    pub is_ready: bool,
    pub is_on_node_network: bool,
    pub created_at: i64,
    pub ips: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Made but not started.
    Created,
    Running,
    Exited,
    #[default]
    Unknown,
}

/// One container, from `ContainerStatus` and what the kubelet noted on it when it made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Container {
    pub id: String,
    pub sandbox_id: String,
    pub name: String,
    pub state: State,
    pub restart_count: u32,
    pub hash: String,
    pub image: String,
    pub image_ref: String,
    pub created_at: i64,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: i32,
    pub reason: String,
    pub message: String,
    pub log_path: String,
    pub user: Option<v1::LinuxContainerUser>,
}

impl Observed {
    /// The newest container of that name.
    pub(crate) fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| matches!(container.state, State::Running | State::Unknown))
    }

    /// The sandbox in which containers can be started: the newest, if it is ready and the only one that is.
    pub(crate) fn usable_sandbox(&self, on_node_network: bool) -> Option<&Sandbox> {
        let newest = self.sandboxes.first()?;
        let only = self.sandboxes.iter().filter(|sandbox| sandbox.is_ready).count() == 1;
        let has_network = on_node_network || !newest.ips.is_empty();
        (newest.is_ready && only && newest.is_on_node_network == on_node_network && has_network)
            .then_some(newest)
    }

    pub(crate) fn ips(&self) -> &[String] {
        self.sandboxes.first().filter(|sandbox| sandbox.is_ready).map_or(&[], |sandbox| &sandbox.ips)
    }
}

/// Asks the runtime for everything of the pod `uid`. `ended` keeps the containers that cannot change any more.
pub(crate) async fn observe(
    runtime: &dyn cri::Runtime,
    uid: &str,
    ended: &mut HashMap<String, Container>,
) -> Result<Observed, cri::Status> {
    let mut observed = Observed {
        sandboxes: sandboxes(runtime, uid).await?,
        containers: containers(runtime, uid, ended).await?,
    };
    observed.sandboxes.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
    observed
        .containers
        .sort_by_key(|container| std::cmp::Reverse((container.created_at, container.restart_count)));
    ended.retain(|id, _| observed.by_id(id).is_some());
    Ok(observed)
}

async fn sandboxes(runtime: &dyn cri::Runtime, uid: &str) -> Result<Vec<Sandbox>, cri::Status> {
    let filter = v1::PodSandboxFilter { label_selector: labels::selector(uid), ..Default::default() };
    let listed = runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) }).await?;
    let mut out = Vec::with_capacity(listed.items.len());
    for item in listed.items {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: item.id, verbose: false };
        match runtime.pod_sandbox_status(request).await {
            Ok(answer) => out.extend(answer.status.map(sandbox)),
            Err(status) if status.code() == cri::Code::NotFound => {}
            Err(status) => return Err(status),
        }
    }
    Ok(out)
}

fn sandbox(status: v1::PodSandboxStatus) -> Sandbox {
    let namespaces = status.linux.as_ref().and_then(|linux| linux.namespaces.as_ref()?.options.as_ref());
    let on_node = namespaces.is_some_and(|options| options.network == i32::from(v1::NamespaceMode::Node));
    let is_ready = status.state == i32::from(v1::PodSandboxState::SandboxReady);
    let network = status.network.unwrap_or_default();
    let ips = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|ip| ip.ip));
    Sandbox {
        id: status.id,
        attempt: status.metadata.map_or(0, |metadata| metadata.attempt),
        is_ready,
        is_on_node_network: on_node,
        created_at: status.created_at,
        ips: ips.filter(|ip| !ip.is_empty()).collect(),
    }
}

async fn containers(
    runtime: &dyn cri::Runtime,
    uid: &str,
    ended: &mut HashMap<String, Container>,
) -> Result<Vec<Container>, cri::Status> {
    let filter = v1::ContainerFilter { label_selector: labels::selector(uid), ..Default::default() };
    let listed = runtime.list_containers(v1::ListContainersRequest { filter: Some(filter) }).await?;
    let mut out = Vec::with_capacity(listed.containers.len());
    for item in listed.containers {
        if let Some(known) = ended.get(&item.id) {
            out.push(known.clone());
            continue;
        }
        let request = v1::ContainerStatusRequest { container_id: item.id, verbose: false };
        match runtime.container_status(request).await {
            Ok(answer) => {
                let Some(status) = answer.status else { continue };
                let container = container(status, item.pod_sandbox_id).await;
                if container.state == State::Exited {
                    ended.insert(container.id.clone(), container.clone());
                }
                out.push(container);
            }
            Err(status) if status.code() == cri::Code::NotFound => {}
            Err(status) => return Err(status),
        }
    }
    Ok(out)
}

async fn container(status: v1::ContainerStatus, sandbox_id: String) -> Container {
    let annotation = |key| status.annotations.get(key).cloned().unwrap_or_default();
    let state = match v1::ContainerState::try_from(status.state) {
        Ok(v1::ContainerState::ContainerCreated) => State::Created,
        Ok(v1::ContainerState::ContainerRunning) => State::Running,
        Ok(v1::ContainerState::ContainerExited) => State::Exited,
        _ => State::Unknown,
    };
    let exited = state == State::Exited;
    let message = if exited { termination_message(&status).await } else { String::new() };
    Container {
        sandbox_id,
        name: status.labels.get(labels::CONTAINER_NAME).cloned().unwrap_or_default(),
        state,
        restart_count: annotation(labels::RESTART_COUNT).parse().unwrap_or(0),
        hash: annotation(labels::HASH),
        image: status.image.map_or_else(String::new, |image| image.image),
        created_at: status.created_at,
        started_at: (state != State::Created).then(|| time(status.started_at)).flatten(),
        finished_at: exited.then(|| time(status.finished_at)).flatten(),
        exit_code: if exited { status.exit_code } else { 0 },
        reason: if exited { status.reason } else { String::new() },
        message,
        user: status.user.and_then(|user| user.linux),
        id: status.id,
        image_ref: status.image_ref,
        log_path: status.log_path,
    }
}

/// A time of the runtime; 0 means that it did not happen.
fn time(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds != 0).then(|| Timestamp::from_nanosecond(nanoseconds.into()).ok()).flatten()
}

/// The runtime's message and what the container left in its termination message file, or in its log if it wants that.
async fn termination_message(status: &v1::ContainerStatus) -> String {
    const LIMIT: u64 = 4096;
    const LOG_LIMIT: usize = 2048;
    const LOG_LINES: usize = 80;
    let path = status.annotations.get(labels::TERMINATION_MESSAGE_PATH).map_or("", String::as_str);
    let mount = status.mounts.iter().find(|mount| !path.is_empty() && mount.container_path == path);
    let mut own = match mount {
        Some(mount) => tail(Path::new(&mount.host_path), LIMIT).await,
        None => String::new(),
    };
    let policy = status.annotations.get(labels::TERMINATION_MESSAGE_POLICY).map_or("", String::as_str);
    if own.is_empty() && policy == "FallbackToLogsOnError" && status.exit_code != 0 {
        own = logs::last_lines(Path::new(&status.log_path), LOG_LINES, LOG_LIMIT).await;
    }
    match (status.message.as_str(), own.as_str()) {
        (runtime, "") => runtime.to_owned(),
        ("", own) => own.to_owned(),
        (runtime, own) => format!("{runtime}: {own}"),
    }
}

/// The last `limit` bytes of a file; empty when it is not there. The container decides how long the file is.
async fn tail(path: &Path, limit: u64) -> String {
    let read = async {
        let mut file = tokio::fs::File::open(path).await?;
        let length = file.metadata().await?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit))).await?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).await?;
        std::io::Result::Ok(bytes)
    };
    match read.await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => format!("Error on reading termination log {}: {error}", path.display()),
    }
}
