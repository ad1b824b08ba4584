//! Starting a container: configuration, create, start, hook.

use std::{collections::BTreeMap, io, path::Path};

use client::EventType::{Normal, Warning};
use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use super::{Actor, Done, RETRY, hook, image::Image};
use crate::{
    memory::{Backoff, START_FAILED},
    observed::State,
    pod::{self, Role},
    spec::{container, env, security, service_env::service_env},
    volumes::mounts,
};

/// Why a container could not be started: the waiting reason and message of its status.
pub(super) type Failure = (&'static str, String);

impl Actor<'_> {
    pub(super) async fn start(&mut self, name: &str, role: Role) {
        let Some((_, spec)) = pod::container(pod::spec(self.pod), name) else { return };
        let outcome = match self.image(&spec, role).await {
            Ok(Some(image)) => self.create_and_start(&spec, role, image).await,
            Ok(None) => return,
            Err(failure) => Err(failure),
        };
        match outcome {
            Ok(()) => self.note_started(name),
            Err((reason, message)) => {
                if reason == START_FAILED {
                    self.count_start(name);
                }
                // As upstream: that it was asked for is good for one attempt. What comes next is the restart policy's to say.
                self.memory.container(name).restart_asked = false;
                // Where the reason says it all, upstream's event has nothing but the reason.
                let is_image = reason.contains("Image");
                let text = if is_image { reason } else { &message };
                self.host.container_event(
                    self.pod,
                    (role, name),
                    Warning,
                    "Failed",
                    format!("Error: {text}"),
                );
                self.memory.container(name).start_failed(reason, message, Timestamp::now(), RETRY);
            }
        }
    }

    fn note_started(&mut self, name: &str) {
        self.count_start(name);
        let known = self.memory.container(name);
        known.failure = None;
        known.pull_backoff = None;
        known.image_ref = None;
        known.restart_asked = false;
    }

    /// Counts a start, be it one that failed, towards the back-off of the next one.
    fn count_start(&mut self, name: &str) {
        let now = Timestamp::now();
        let Some(last) = self.observed.container(name).filter(|last| last.state == State::Exited) else {
            return;
        };
        let known = self.memory.container(name);
        known.backoff = Some(Backoff::next(known.backoff, last.finished_at.unwrap_or(now), now));
    }

    async fn create_and_start(&mut self, spec: &Container, role: Role, image: Image) -> Result<(), Failure> {
        let about = (role, spec.name.as_str());
        let on_node = pod::is_host_network(pod::spec(self.pod));
        let Some(sandbox) = self.observed.usable_sandbox(on_node) else {
            return Err(("CreateContainerError", "the pod's sandbox is not ready".into()));
        };
        let (sandbox_id, attempt) = (sandbox.id.clone(), sandbox.attempt);
        let config =
            self.config(spec, role, image).await.map_err(|error| ("CreateContainerConfigError", error))?;
        let sandbox_config =
            self.sandbox_config(attempt).map_err(|error| ("CreateContainerConfigError", error))?;
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox_id,
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let created = self.host.runtime.create_container(request).await;
        let id =
            created.map_err(|status| ("CreateContainerError", status.message().to_owned()))?.container_id;
        self.host.container_event(self.pod, about, Normal, "Created", "Container created");
        let started = self.start_within_limits(&id).await;
        started.map_err(|status| (START_FAILED, status.message().to_owned()))?;
        self.host.container_event(self.pod, about, Normal, "Started", "Container started");
        self.run_post_start(spec, role, id);
        Ok(())
    }

    /// Starts a container while the pod's own limits are lifted. Those of its containers, which add up to them, are not.
    async fn start_within_limits(&self, id: &str) -> Result<(), cri::Status> {
        let cgroups = &self.host.cgroups;
        cgroups.ensure(self.pod).map_err(|error| cri::Status::unknown(error.to_string()))?;
        let request = v1::StartContainerRequest { container_id: id.to_owned() };
        let started = self.host.runtime.start_container(request).await;
        if let Err(error) = cgroups.limit(self.pod) {
            let message = format!("unable to limit the pod's resources: {error}");
            self.host.pod_event(self.pod, Warning, "FailedToLimitPod", message);
        }
        started.map(drop)
    }

    async fn config(
        &self,
        spec: &Container,
        role: Role,
        image: Image,
    ) -> Result<v1::ContainerConfig, String> {
        security::verify_non_root(self.pod, spec, &image.user)?;
        let target_id = if role == Role::Ephemeral { self.ephemeral_target(&spec.name)? } else { None };
        let env = self.env(spec).await?;
        let restart_count = self.restart_count(&spec.name).await;
        let pod_dir = self.host.pod_dir(pod::uid(self.pod));
        let mounts = mounts::Input {
            pod: self.pod,
            container: spec,
            pod_dir: &pod_dir,
            pod_ips: self.observed.ips(),
            cluster_domain: &self.host.config.cluster_domain,
            env: &env,
            restart_count,
        };
        let mounts = mounts::list(&mounts).await.map_err(|error| error.to_string())?;
        let log_dir = self.host.log_dir(self.pod).join(&spec.name);
        tokio::fs::create_dir_all(&log_dir).await.map_err(|error| {
            format!("create container log directory for container {} failed: {error}", spec.name)
        })?;
        Ok(container::config(
            self.pod,
            spec,
            container::Surroundings {
                restart_count,
                image_ref: image.image_ref,
                image_user: &image.user,
                env,
                mounts,
                memory_bytes: self.host.machine.memory_bytes,
                seccomp_dir: &self.host.config.data_dir.join("seccomp"),
                target_id,
            },
        ))
    }

    async fn env(&self, spec: &Container) -> Result<BTreeMap<String, String>, String> {
        let namespace = pod::namespace(self.pod);
        let objects = self.held.objects(namespace).await;
        self.host.services.synced().await;
        let links = pod::spec(self.pod).enable_service_links.unwrap_or(true);
        let services = service_env(&self.host.services.list(), namespace, links);
        let node_ips = &self.host.facts.host_ips;
        let on_node = pod::is_host_network(pod::spec(self.pod));
        let sources = env::Sources {
            config_maps: &objects.config_maps,
            secrets: &objects.secrets,
            services,
            pod_ips: if on_node { node_ips } else { self.observed.ips() },
            node: &self.host.facts,
        };
        env::variables(self.pod, spec, &sources)
    }

    /// One more than the last container's; where the runtime knows none, one more than the last log's.
    async fn restart_count(&self, name: &str) -> u32 {
        if let Some(last) = self.observed.container(name) {
            return last.restart_count + 1;
        }
        let logs = self.host.log_dir(self.pod).join(name);
        match count_from_logs(&logs).await {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                tracing::warn!(path = %logs.display(), %error, "old logs could not be listed, restarts count from 0");
                0
            }
        }
    }

    /// The container whose processes an ephemeral one is to see.
    fn ephemeral_target(&self, name: &str) -> Result<Option<String>, String> {
        let mut list = pod::spec(self.pod).ephemeral_containers.iter().flatten();
        let own = list.find(|container| container.name == name);
        let target = own.and_then(|own| own.target_container_name.as_deref()).filter(|name| !name.is_empty());
        let Some(target) = target else { return Ok(None) };
        let found = self.observed.container(target).map(|container| Some(container.id.clone()));
        found.ok_or_else(|| format!("unable to find target container {target}"))
    }

    fn run_post_start(&mut self, spec: &Container, role: Role, id: String) {
        let Some(handler) = spec.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone()) else {
            return;
        };
        self.memory.hooks.insert(id.clone());
        let (host, spec) = (self.host.clone(), spec.clone());
        let ip = hook::pod_ip(self);
        self.jobs.spawn(async move {
            let result = hook::run(&host, &id, &spec, &handler, &ip).await;
            Done::Hooked { id, name: spec.name, role, result }
        });
    }
}

/// One more than the number of the last log in `directory`.
async fn count_from_logs(directory: &Path) -> io::Result<u32> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    let mut next = 0;
    while let Some(entry) = entries.next_entry().await? {
        let file = entry.file_name();
        let number = file.to_str().and_then(|file| file.split('.').next()?.parse::<u32>().ok());
        next = number.map_or(next, |number| next.max(number.saturating_add(1)));
    }
    Ok(next)
}
