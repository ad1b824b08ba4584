//! Carries out the steps of a plan: the only place where the kubelet changes what runs.
//!
//! Short steps are done when `act` returns; what takes long (pulling, stopping, hooks) becomes a job whose end the worker
//! hears of as [`Done`]. Decides nothing: what must not happen is not in the plan.

use std::sync::Arc;

use client::EventType::{Normal, Warning};
use cri::v1;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use tokio::task::JoinSet;

use crate::{
    host::Host,
    images,
    memory::{Memory, Volumes},
    observed::Observed,
    plan::Step,
    pod::{self, Role},
    references::Held,
    volumes,
};

mod container;
mod hook;
mod image;
mod kill;
mod sandbox;

/// How long to wait after something failed that only time can mend.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
const VOLUME_RETRY: SignedDuration = SignedDuration::from_secs(2);

/// Why a step could not be carried out. The worker logs it and asks for a new plan after a while.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("container runtime: {0}")]
    Runtime(#[from] cri::Status),
    #[error(transparent)]
    Volumes(#[from] volumes::Error),
    #[error("{0}: {1}")]
    Io(&'static str, std::io::Error),
    #[error("API server: {0}")]
    Api(#[from] kube::Error),
}

/// The end of a job.
#[derive(Debug)]
pub(crate) enum Done {
    Pulled { name: String, role: Role, result: Result<images::Pulled, images::Failure> },
    Killed { id: String, result: Result<(), cri::Status> },
    Hooked { id: String, name: String, role: Role, result: Result<(), String> },
}

/// What a step works with.
pub(crate) struct Actor<'a> {
    pub host: &'a Arc<Host>,
    pub pod: &'a Arc<Pod>,
    pub held: &'a Held,
    pub observed: &'a Observed,
    pub memory: &'a mut Memory,
    pub jobs: &'a mut JoinSet<Done>,
}

impl Actor<'_> {
    /// Carries out one step.
    pub(crate) async fn act(&mut self, step: Step) -> Result<(), Error> {
        tracing::debug!(pod = %pod::full_name(self.pod), ?step, "acting");
        match step {
            Step::Evict(verdict) => {
                self.host.pod_event(self.pod, Normal, &verdict.reason, verdict.message.clone());
                self.memory.evicted = Some(verdict);
            }
            Step::PrepareVolumes => self.prepare_volumes().await,
            Step::StopSandbox { id, is_replaced } => self.stop_sandbox(id, is_replaced).await?,
            Step::CreateSandbox { attempt } => self.create_sandbox(attempt).await,
            Step::RemoveSandbox { id } => {
                self.host
                    .runtime
                    .remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id })
                    .await?;
            }
            Step::Start { name, role } => self.start(&name, role).await,
            Step::Kill(kill) => self.kill(kill),
            Step::RemoveContainer { id, keeps_log } => self.remove_container(id, keeps_log).await?,
            Step::TearDown => self.tear_down().await?,
            Step::Forget => self.forget().await?,
            Step::Delete => self.delete().await?,
        }
        Ok(())
    }

    /// Takes in the end of a job.
    pub(crate) fn done(&mut self, done: Done) {
        match done {
            Done::Pulled { name, role, result } => self.pulled(&name, role, result),
            Done::Killed { id, result } => {
                if let Err(status) = result {
                    let message = format!("error killing pod: {}", status.message());
                    self.host.pod_event(self.pod, Warning, "FailedKillPod", message);
                }
                self.memory.killing.remove(&id);
            }
            Done::Hooked { id, name, role, result } => self.hooked(&id, &name, role, result),
        }
    }

    async fn prepare_volumes(&mut self) {
        let uid = pod::uid(self.pod);
        let objects = self.held.objects(pod::namespace(self.pod)).await;
        let pod_dir = self.host.pod_dir(uid);
        if let Err(error) = tokio::fs::create_dir_all(&pod_dir).await {
            let message = format!("error making pod data directories: {error}");
            self.host.pod_event(self.pod, Warning, "Failed", message);
            self.memory.volumes = Volumes::Failed { retry_at: Timestamp::now() + RETRY };
            return;
        }
        let (facts, tokens) = (&self.host.facts, &self.host.tokens);
        self.memory.volumes = match volumes::prepare(self.pod, &pod_dir, &objects, facts, tokens).await {
            Ok(refresh_at) => Volumes::Ready { refresh_at },
            Err(failed) => {
                for (name, error) in failed {
                    let message = format!("MountVolume.SetUp failed for volume {name:?} : {error}");
                    self.host.pod_event(self.pod, Warning, "FailedMount", message);
                }
                let now = Timestamp::now();
                // A volume that is in place and cannot be renewed must not stop the containers that use it.
                match self.memory.volumes {
                    Volumes::Ready { .. } => Volumes::Ready { refresh_at: Some(now + RETRY) },
                    Volumes::Unknown | Volumes::Failed { .. } => {
                        Volumes::Failed { retry_at: now + VOLUME_RETRY }
                    }
                }
            }
        };
    }

    async fn remove_container(&self, container_id: String, keeps_log: bool) -> Result<(), Error> {
        let log = self.observed.by_id(&container_id).map(|container| container.log_path.clone());
        self.host.runtime.remove_container(v1::RemoveContainerRequest { container_id }).await?;
        match log.filter(|log| !keeps_log && !log.is_empty()) {
            Some(log) => remove_file(&log).await.map_err(|error| Error::Io("removing a log", error)),
            None => Ok(()),
        }
    }

    async fn tear_down(&mut self) -> Result<(), Error> {
        let uid = pod::uid(self.pod);
        volumes::tear_down::volumes(&self.host.pod_dir(uid)).await?;
        self.host.cgroups.remove(uid).map_err(|error| Error::Io("removing the pod's cgroup", error))?;
        self.host.tokens.forget(uid);
        self.memory.is_torn_down = true;
        Ok(())
    }

    async fn forget(&mut self) -> Result<(), Error> {
        for container in &self.observed.containers {
            let request = v1::RemoveContainerRequest { container_id: container.id.clone() };
            self.host.runtime.remove_container(request).await?;
        }
        for sandbox in &self.observed.sandboxes {
            let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
            self.host.runtime.remove_pod_sandbox(request).await?;
        }
        volumes::tear_down::everything(&self.host.pod_dir(pod::uid(self.pod))).await?;
        let logs = self.host.log_dir(self.pod);
        match tokio::fs::remove_dir_all(&logs).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Io("removing the pod's logs", error));
            }
            _ => {}
        }
        self.memory.is_forgotten = true;
        Ok(())
    }

    /// Deletes the API object at once, provided that it still is this pod.
    async fn delete(&mut self) -> Result<(), Error> {
        let pods = Api::<Pod>::namespaced(self.host.client.clone(), pod::namespace(self.pod));
        let preconditions = Preconditions { uid: self.pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match pods.delete(pod::name(self.pod), &params).await {
            Ok(_) => {}
            // Gone already, or another pod of that name took its place.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error.into()),
        }
        self.memory.is_deleted = true;
        Ok(())
    }
}

async fn remove_file(path: &str) -> std::io::Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
