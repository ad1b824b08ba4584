//! A container runtime that only keeps books: what was made, started and stopped, and what containers were told.

use std::sync::{Arc, Mutex};

use cri::{Events, Status, v1};
use futures::StreamExt;
use tokio::sync::broadcast;

/// No pod's uid.
const PANIC: &str = "panic";

#[derive(Clone)]
pub(crate) struct Runtime(Arc<Shared>);

struct Shared {
    books: Mutex<Books>,
    events: broadcast::Sender<String>,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) sandboxes: Vec<v1::PodSandboxStatus>,
    pub(crate) containers: Vec<Container>,
    pub(crate) pulled: Vec<String>,
    pub(crate) pod_cidr: String,
    /// Readiness probes answer with this.
    pub(crate) exec_exit_code: i32,
    /// Where the streams of an exec are served.
    pub(crate) exec_url: String,
    /// Whoever asks for this pod's sandboxes next panics.
    pub(crate) panics_for: Option<String>,
    /// Containers end instead of starting.
    pub(crate) refuses_to_start: bool,
    pub(crate) refuses_to_remove: bool,
    /// Pulls of images named `slow…` are under way for so long.
    pub(crate) pulls_slowly: bool,
    clock: i64,
    count: usize,
}

#[derive(Clone)]
pub(crate) struct Container {
    pub(crate) sandbox: String,
    pub(crate) config: v1::ContainerConfig,
    pub(crate) status: v1::ContainerStatus,
    pub(crate) stopped_with: Option<i64>,
}

impl Default for Runtime {
    fn default() -> Self {
        Self(Arc::new(Shared { books: Mutex::default(), events: broadcast::channel(64).0 }))
    }
}

impl Runtime {
    pub(crate) fn books<T>(&self, look: impl FnOnce(&mut Books) -> T) -> T {
        look(&mut self.0.books.lock().unwrap())
    }

    /// The newest container of that name.
    pub(crate) fn container(&self, name: &str) -> Option<Container> {
        let named = |c: &&Container| c.config.metadata.as_ref().unwrap().name == name;
        self.books(|books| books.containers.iter().rev().find(named).cloned())
    }

    /// Lets a container end by itself.
    pub(crate) fn exit(&self, id: &str, code: i32) {
        let uid = self.books(|books| {
            let now = books.tick();
            let container = books.containers.iter_mut().find(|c| c.status.id == id).unwrap();
            container.status.state = v1::ContainerState::ContainerExited.into();
            container.status.finished_at = now;
            container.status.exit_code = code;
            container.status.reason = if code == 0 { "Completed" } else { "Error" }.into();
            container.config.labels["io.kubernetes.pod.uid"].clone()
        });
        self.tell(uid);
    }

    /// Makes whoever listens to events panic.
    pub(crate) fn make_listeners_panic(&self) {
        self.tell(PANIC.into());
    }

    /// How many listen to events.
    pub(crate) fn listeners(&self) -> usize {
        self.0.events.receiver_count()
    }

    fn tell(&self, uid: String) {
        // Nobody may be listening yet.
        self.0.events.send(uid).ok();
    }
}

impl Books {
    /// The time, which never stands still.
    fn tick(&mut self) -> i64 {
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
        self.clock = now.max(self.clock + 1);
        self.clock
    }

    fn id(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}-{}", self.count)
    }
}

fn matches(
    wanted: &std::collections::HashMap<String, String>,
    labels: &std::collections::HashMap<String, String>,
) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn absent<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not needed here"))
}

#[async_trait::async_trait]
impl cri::Runtime for Runtime {
    async fn version(&self, _: v1::VersionRequest) -> Result<v1::VersionResponse, Status> {
        let (name, version) = ("books".to_owned(), "1".to_owned());
        Ok(v1::VersionResponse { runtime_name: name, runtime_version: version, ..Default::default() })
    }

    async fn status(&self, _: v1::StatusRequest) -> Result<v1::StatusResponse, Status> {
        let network = self.books(|books| !books.pod_cidr.is_empty());
        let condition =
            |type_: &str, status| v1::RuntimeCondition { r#type: type_.into(), status, ..Default::default() };
        let conditions = vec![condition("RuntimeReady", true), condition("NetworkReady", network)];
        Ok(v1::StatusResponse { status: Some(v1::RuntimeStatus { conditions }), ..Default::default() })
    }

    async fn update_runtime_config(
        &self,
        request: v1::UpdateRuntimeConfigRequest,
    ) -> Result<v1::UpdateRuntimeConfigResponse, Status> {
        self.books(|books| books.pod_cidr = request.runtime_config.unwrap().network_config.unwrap().pod_cidr);
        Ok(v1::UpdateRuntimeConfigResponse {})
    }

    async fn run_pod_sandbox(
        &self,
        request: v1::RunPodSandboxRequest,
    ) -> Result<v1::RunPodSandboxResponse, Status> {
        let config = request.config.unwrap();
        let uid = config.metadata.clone().unwrap().uid;
        let id = self.books(|books| {
            let (id, created_at) = (books.id("sandbox"), books.tick());
            books.sandboxes.push(v1::PodSandboxStatus {
                id: id.clone(),
                metadata: config.metadata,
                state: v1::PodSandboxState::SandboxReady.into(),
                created_at,
                network: Some(v1::PodSandboxNetworkStatus { ip: "10.1.0.5".into(), additional_ips: vec![] }),
                labels: config.labels,
                annotations: config.annotations,
                ..Default::default()
            });
            id
        });
        self.tell(uid);
        Ok(v1::RunPodSandboxResponse { pod_sandbox_id: id })
    }

    async fn stop_pod_sandbox(
        &self,
        request: v1::StopPodSandboxRequest,
    ) -> Result<v1::StopPodSandboxResponse, Status> {
        self.books(|books| {
            for sandbox in books.sandboxes.iter_mut().filter(|sandbox| sandbox.id == request.pod_sandbox_id) {
                sandbox.state = v1::PodSandboxState::SandboxNotready.into();
            }
        });
        Ok(v1::StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: v1::RemovePodSandboxRequest,
    ) -> Result<v1::RemovePodSandboxResponse, Status> {
        self.books(|books| books.sandboxes.retain(|sandbox| sandbox.id != request.pod_sandbox_id));
        Ok(v1::RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: v1::PodSandboxStatusRequest,
    ) -> Result<v1::PodSandboxStatusResponse, Status> {
        let status =
            self.books(|books| books.sandboxes.iter().find(|s| s.id == request.pod_sandbox_id).cloned());
        let status = Some(status.ok_or_else(|| Status::not_found("no sandbox"))?);
        Ok(v1::PodSandboxStatusResponse { status, ..Default::default() })
    }

    async fn list_pod_sandbox(
        &self,
        request: v1::ListPodSandboxRequest,
    ) -> Result<v1::ListPodSandboxResponse, Status> {
        let wanted = request.filter.unwrap_or_default().label_selector;
        let uid = wanted.get("io.kubernetes.pod.uid");
        let panics = self.books(|books| books.panics_for.take_if(|panics_for| Some(&*panics_for) == uid));
        assert_eq!(panics, None, "it is asked for");
        let items = self.books(|books| {
            let found = books.sandboxes.iter().filter(|sandbox| matches(&wanted, &sandbox.labels));
            let listed = found.map(|sandbox| v1::PodSandbox {
                id: sandbox.id.clone(),
                labels: sandbox.labels.clone(),
                annotations: sandbox.annotations.clone(),
                ..Default::default()
            });
            listed.collect()
        });
        Ok(v1::ListPodSandboxResponse { items })
    }

    async fn create_container(
        &self,
        request: v1::CreateContainerRequest,
    ) -> Result<v1::CreateContainerResponse, Status> {
        let config = request.config.unwrap();
        let id = self.books(|books| {
            let (id, created_at) = (books.id("container"), books.tick());
            let status = v1::ContainerStatus {
                id: id.clone(),
                metadata: config.metadata.clone(),
                state: v1::ContainerState::ContainerCreated.into(),
                created_at,
                image: Some(v1::ImageSpec {
                    image: config.image.clone().unwrap().user_specified_image,
                    ..Default::default()
                }),
                image_ref: config.image.clone().unwrap().image,
                labels: config.labels.clone(),
                annotations: config.annotations.clone(),
                mounts: config.mounts.clone(),
                log_path: format!("{}/{}", request.sandbox_config.unwrap().log_directory, config.log_path),
                ..Default::default()
            };
            books.containers.push(Container {
                sandbox: request.pod_sandbox_id,
                config,
                status,
                stopped_with: None,
            });
            id
        });
        Ok(v1::CreateContainerResponse { container_id: id })
    }

    async fn start_container(
        &self,
        request: v1::StartContainerRequest,
    ) -> Result<v1::StartContainerResponse, Status> {
        if self.books(|books| books.refuses_to_start) {
            self.exit(&request.container_id, 128);
            return Err(Status::unknown("no such program"));
        }
        let (uid, log) = self.books(|books| {
            let now = books.tick();
            let container =
                books.containers.iter_mut().find(|c| c.status.id == request.container_id).unwrap();
            container.status.state = v1::ContainerState::ContainerRunning.into();
            container.status.started_at = now;
            (container.config.labels["io.kubernetes.pod.uid"].clone(), container.status.log_path.clone())
        });
        std::fs::write(log, "2026-01-01T00:00:00Z stdout F hello\n").unwrap();
        self.tell(uid);
        Ok(v1::StartContainerResponse {})
    }

    async fn stop_container(
        &self,
        request: v1::StopContainerRequest,
    ) -> Result<v1::StopContainerResponse, Status> {
        self.books(|books| {
            let container =
                books.containers.iter_mut().find(|c| c.status.id == request.container_id).unwrap();
            container.stopped_with = Some(request.timeout);
        });
        self.exit(&request.container_id, 0);
        Ok(v1::StopContainerResponse {})
    }

    async fn remove_container(
        &self,
        request: v1::RemoveContainerRequest,
    ) -> Result<v1::RemoveContainerResponse, Status> {
        if self.books(|books| books.refuses_to_remove) {
            return Err(Status::unknown("it is held"));
        }
        self.books(|books| books.containers.retain(|c| c.status.id != request.container_id));
        Ok(v1::RemoveContainerResponse {})
    }

    async fn list_containers(
        &self,
        request: v1::ListContainersRequest,
    ) -> Result<v1::ListContainersResponse, Status> {
        let wanted = request.filter.unwrap_or_default().label_selector;
        let containers = self.books(|books| {
            let found = books.containers.iter().filter(|c| matches(&wanted, &c.config.labels));
            let listed = found.map(|c| v1::Container {
                id: c.status.id.clone(),
                pod_sandbox_id: c.sandbox.clone(),
                ..Default::default()
            });
            listed.collect()
        });
        Ok(v1::ListContainersResponse { containers })
    }

    async fn container_status(
        &self,
        request: v1::ContainerStatusRequest,
    ) -> Result<v1::ContainerStatusResponse, Status> {
        let found = self
            .books(|books| books.containers.iter().find(|c| c.status.id == request.container_id).cloned());
        let status = Some(found.ok_or_else(|| Status::not_found("no container"))?.status);
        Ok(v1::ContainerStatusResponse { status, ..Default::default() })
    }

    async fn exec_sync(&self, _: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse, Status> {
        let exit_code = self.books(|books| books.exec_exit_code);
        Ok(v1::ExecSyncResponse { exit_code, stderr: b"not yet".to_vec(), ..Default::default() })
    }

    async fn image_status(&self, request: v1::ImageStatusRequest) -> Result<v1::ImageStatusResponse, Status> {
        let id = request.image.unwrap().image;
        let present = id.starts_with("present") || self.books(|books| books.pulled.contains(&id));
        let image = present.then(|| v1::Image { id, ..Default::default() });
        Ok(v1::ImageStatusResponse { image, ..Default::default() })
    }

    async fn pull_image(&self, request: v1::PullImageRequest) -> Result<v1::PullImageResponse, Status> {
        let image = request.image.unwrap().image;
        if image.starts_with("missing") {
            return Err(Status::not_found(format!("{image}: not found")));
        }
        while image.starts_with("slow") && self.books(|books| books.pulls_slowly) {
            tokio::task::yield_now().await;
        }
        self.books(|books| books.pulled.push(image.clone()));
        Ok(v1::PullImageResponse { image_ref: image })
    }

    async fn list_images(&self, _: v1::ListImagesRequest) -> Result<v1::ListImagesResponse, Status> {
        Ok(v1::ListImagesResponse::default())
    }

    async fn get_container_events(&self, _: v1::GetEventsRequest) -> Result<Events, Status> {
        let events = futures::stream::unfold(self.0.events.subscribe(), |mut events| async move {
            let uid = events.recv().await.ok()?;
            assert_ne!(uid, PANIC, "a test asked for this");
            let metadata = Some(v1::PodSandboxMetadata { uid, ..Default::default() });
            let pod_sandbox_status = Some(v1::PodSandboxStatus { metadata, ..Default::default() });
            let event = v1::ContainerEventResponse { pod_sandbox_status, ..Default::default() };
            Some((Ok(event), events))
        });
        Ok(events.boxed())
    }

    async fn runtime_config(&self, _: v1::RuntimeConfigRequest) -> Result<v1::RuntimeConfigResponse, Status> {
        absent()
    }
    async fn update_container_resources(
        &self,
        _: v1::UpdateContainerResourcesRequest,
    ) -> Result<v1::UpdateContainerResourcesResponse, Status> {
        absent()
    }
    async fn reopen_container_log(
        &self,
        _: v1::ReopenContainerLogRequest,
    ) -> Result<v1::ReopenContainerLogResponse, Status> {
        absent()
    }
    async fn exec(&self, request: v1::ExecRequest) -> Result<v1::ExecResponse, Status> {
        assert_eq!(request.cmd, ["cat", "a b"]);
        Ok(v1::ExecResponse { url: self.books(|books| books.exec_url.clone()) })
    }
    async fn attach(&self, _: v1::AttachRequest) -> Result<v1::AttachResponse, Status> {
        absent()
    }
    async fn port_forward(&self, _: v1::PortForwardRequest) -> Result<v1::PortForwardResponse, Status> {
        absent()
    }
    async fn container_stats(
        &self,
        _: v1::ContainerStatsRequest,
    ) -> Result<v1::ContainerStatsResponse, Status> {
        absent()
    }
    async fn list_container_stats(
        &self,
        _: v1::ListContainerStatsRequest,
    ) -> Result<v1::ListContainerStatsResponse, Status> {
        absent()
    }
    async fn pod_sandbox_stats(
        &self,
        _: v1::PodSandboxStatsRequest,
    ) -> Result<v1::PodSandboxStatsResponse, Status> {
        absent()
    }
    async fn list_pod_sandbox_stats(
        &self,
        _: v1::ListPodSandboxStatsRequest,
    ) -> Result<v1::ListPodSandboxStatsResponse, Status> {
        absent()
    }
    async fn remove_image(&self, _: v1::RemoveImageRequest) -> Result<v1::RemoveImageResponse, Status> {
        absent()
    }
    async fn image_fs_info(&self, _: v1::ImageFsInfoRequest) -> Result<v1::ImageFsInfoResponse, Status> {
        absent()
    }
}
