//! The CRI calls: each finds what it is about, calls the step that does it, and makes the answer. No rules here.

mod containers;
mod events;
mod images;
mod sandboxes;
mod stats;
mod status;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use cri::{Events, Status, v1};
use tokio::sync::{mpsc, watch};

use crate::core::{Core, blocking};
use crate::error::{Error, Result};
use crate::images::Puller;
use crate::streaming::{self, Streams};
use crate::{Config, adopt};

/// The built-in runtime.
pub struct BuiltIn {
    core: Arc<Core>,
    puller: Puller,
    streams: Arc<Streams>,
    /// Whether the archives of the import directory are still being read.
    importing: watch::Receiver<bool>,
}

impl BuiltIn {
    /// Opens the runtime and adopts what an earlier process left running. Archives are imported in the background.
    ///
    /// # Errors
    /// When its directory cannot be used, or a kernel facility is missing.
    pub async fn open(config: Config) -> Result<Arc<Self>> {
        let (notices, heard) = mpsc::unbounded_channel();
        let core = {
            let config = config.clone();
            Arc::new(blocking(move || Core::new(config, notices)).await?)
        };
        adopt::adopt(&core).await?;
        tokio::spawn(adopt::listen(Arc::downgrade(&core), heard));
        let (streams, listener) = Streams::bind().await?;
        tokio::spawn(streaming::serve(Arc::clone(&streams), listener, Arc::downgrade(&core)));
        Ok(Arc::new(Self {
            puller: Puller::new(core.images.clone(), config.plain_http_registries),
            importing: images::import_all(&core, config.import_dir),
            core,
            streams,
        }))
    }
}

#[async_trait::async_trait]
impl cri::Runtime for BuiltIn {
    async fn version(&self, _: v1::VersionRequest) -> Result<v1::VersionResponse, Status> {
        status::version()
    }

    async fn status(&self, _: v1::StatusRequest) -> Result<v1::StatusResponse, Status> {
        status::status(self)
    }

    async fn update_runtime_config(
        &self,
        request: v1::UpdateRuntimeConfigRequest,
    ) -> Result<v1::UpdateRuntimeConfigResponse, Status> {
        status::update_config(self, request).await
    }

    async fn runtime_config(&self, _: v1::RuntimeConfigRequest) -> Result<v1::RuntimeConfigResponse, Status> {
        status::config()
    }

    async fn run_pod_sandbox(
        &self,
        request: v1::RunPodSandboxRequest,
    ) -> Result<v1::RunPodSandboxResponse, Status> {
        sandboxes::run(self, request).await
    }

    async fn stop_pod_sandbox(
        &self,
        request: v1::StopPodSandboxRequest,
    ) -> Result<v1::StopPodSandboxResponse, Status> {
        sandboxes::stop(self, request).await
    }

    async fn remove_pod_sandbox(
        &self,
        request: v1::RemovePodSandboxRequest,
    ) -> Result<v1::RemovePodSandboxResponse, Status> {
        sandboxes::remove(self, request).await
    }

    async fn pod_sandbox_status(
        &self,
        request: v1::PodSandboxStatusRequest,
    ) -> Result<v1::PodSandboxStatusResponse, Status> {
        sandboxes::status(self, request)
    }

    async fn list_pod_sandbox(
        &self,
        request: v1::ListPodSandboxRequest,
    ) -> Result<v1::ListPodSandboxResponse, Status> {
        sandboxes::list(self, request)
    }

    async fn create_container(
        &self,
        request: v1::CreateContainerRequest,
    ) -> Result<v1::CreateContainerResponse, Status> {
        containers::create(self, request).await
    }

    async fn start_container(
        &self,
        request: v1::StartContainerRequest,
    ) -> Result<v1::StartContainerResponse, Status> {
        containers::start(self, request).await
    }

    async fn stop_container(
        &self,
        request: v1::StopContainerRequest,
    ) -> Result<v1::StopContainerResponse, Status> {
        containers::stop(self, request).await
    }

    async fn remove_container(
        &self,
        request: v1::RemoveContainerRequest,
    ) -> Result<v1::RemoveContainerResponse, Status> {
        containers::remove(self, request).await
    }

    async fn list_containers(
        &self,
        request: v1::ListContainersRequest,
    ) -> Result<v1::ListContainersResponse, Status> {
        containers::list(self, request)
    }

    async fn container_status(
        &self,
        request: v1::ContainerStatusRequest,
    ) -> Result<v1::ContainerStatusResponse, Status> {
        containers::status(self, request)
    }

    async fn update_container_resources(
        &self,
        request: v1::UpdateContainerResourcesRequest,
    ) -> Result<v1::UpdateContainerResourcesResponse, Status> {
        containers::update(self, request).await
    }

    async fn reopen_container_log(
        &self,
        request: v1::ReopenContainerLogRequest,
    ) -> Result<v1::ReopenContainerLogResponse, Status> {
        containers::reopen_log(self, request).await
    }

    async fn exec_sync(&self, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse, Status> {
        streams::exec_sync(self, request).await
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<v1::ExecResponse, Status> {
        streams::exec(self, request)
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<v1::AttachResponse, Status> {
        streams::attach(self, request)
    }

    async fn port_forward(&self, _: v1::PortForwardRequest) -> Result<v1::PortForwardResponse, Status> {
        streams::port_forward()
    }

    async fn container_stats(
        &self,
        request: v1::ContainerStatsRequest,
    ) -> Result<v1::ContainerStatsResponse, Status> {
        stats::of_container(self, request).await
    }

    async fn list_container_stats(
        &self,
        request: v1::ListContainerStatsRequest,
    ) -> Result<v1::ListContainerStatsResponse, Status> {
        stats::of_containers(self, request).await
    }

    async fn pod_sandbox_stats(
        &self,
        request: v1::PodSandboxStatsRequest,
    ) -> Result<v1::PodSandboxStatsResponse, Status> {
        stats::of_sandbox(self, request).await
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: v1::ListPodSandboxStatsRequest,
    ) -> Result<v1::ListPodSandboxStatsResponse, Status> {
        stats::of_sandboxes(self, request).await
    }

    async fn get_container_events(&self, _: v1::GetEventsRequest) -> Result<Events, Status> {
        events::events(self).await
    }

    async fn list_images(&self, request: v1::ListImagesRequest) -> Result<v1::ListImagesResponse, Status> {
        images::list(self, request).await
    }

    async fn image_status(&self, request: v1::ImageStatusRequest) -> Result<v1::ImageStatusResponse, Status> {
        images::status(self, request).await
    }

    async fn pull_image(&self, request: v1::PullImageRequest) -> Result<v1::PullImageResponse, Status> {
        images::pull(self, request).await
    }

    async fn remove_image(&self, request: v1::RemoveImageRequest) -> Result<v1::RemoveImageResponse, Status> {
        images::remove(self, request).await
    }

    async fn image_fs_info(&self, _: v1::ImageFsInfoRequest) -> Result<v1::ImageFsInfoResponse, Status> {
        stats::of_file_systems(self).await
    }
}

/// What is not there is no error for the calls that take things away.
fn if_there<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}
