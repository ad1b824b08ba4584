//! The CRI calls: each finds what it is about, calls the step that does it, and makes the answer. No rules here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cri::{Events, Status, v1};
use futures::StreamExt;
use tokio::sync::{broadcast, mpsc, watch};

use crate::container::life as containers;
use crate::core::{Core, blocking};
use crate::error::{Error, Result};
use crate::filter::Matches;
use crate::images::{Credentials, Image, Puller};
use crate::sandbox::life as sandboxes;
use crate::streaming::{self, Streams, Wanted};
use crate::{Config, adopt, clock, exec, stats};

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
            importing: import_all(&core, config.import_dir),
            core,
            streams,
        }))
    }

    /// An image by name or ID. One that is not here may be about to be imported.
    async fn find_image(&self, name: String) -> Result<Option<Image>> {
        let images = self.core.images.clone();
        let find = move || images.find(&name);
        if let Some(image) = blocking(find.clone()).await? {
            return Ok(Some(image));
        }
        let mut importing = self.importing.clone();
        // When the importer is gone it has ended too.
        drop(importing.wait_for(|is_importing| !is_importing).await);
        blocking(find).await
    }

    async fn describe_image(&self, image: Image) -> Result<v1::Image> {
        let images = self.core.images.clone();
        blocking(move || {
            let user = images.config(&image)?.config.user;
            let user = user.split(':').next().unwrap_or_default();
            let uid = user.parse().ok().map(|value| v1::Int64Value { value });
            let username = if uid.is_some() { String::new() } else { user.to_owned() };
            let spec = v1::ImageSpec { image: image.id.clone(), ..v1::ImageSpec::default() };
            Ok(v1::Image {
                id: image.id,
                repo_tags: image.tags,
                repo_digests: image.digests,
                size: image.size,
                uid,
                username,
                spec: Some(spec),
                pinned: false,
            })
        })
        .await
    }
}

/// Imports the archives of a directory, one after the other, beside everything else.
fn import_all(core: &Arc<Core>, directory: Option<PathBuf>) -> watch::Receiver<bool> {
    let (importing, receiver) = watch::channel(true);
    let images = core.images.clone();
    tokio::task::spawn_blocking(move || {
        // A process that was killed in the middle of a pull could not clean up.
        if let Err(e) = images.collect_garbage() {
            tracing::warn!(error = %e, "cannot clean up the image store");
        }
        for archive in directory.iter().flat_map(|directory| archives_in(directory)) {
            if let Err(e) = images.import_once(&archive) {
                tracing::error!(archive = %archive.display(), error = %e, "cannot import images");
            }
        }
        importing.send_replace(false);
    });
    receiver
}

fn archives_in(directory: &std::path::Path) -> Vec<PathBuf> {
    let names = crate::files::names_in(directory).unwrap_or_else(|e| {
        tracing::error!(error = %e, "cannot read the import directory");
        Vec::new()
    });
    let mut archives: Vec<_> =
        names.iter().filter(|n| n.ends_with(".tar")).map(|n| directory.join(n)).collect();
    archives.sort();
    archives
}

#[async_trait::async_trait]
impl cri::Runtime for BuiltIn {
    async fn version(&self, _: v1::VersionRequest) -> Result<v1::VersionResponse, Status> {
        Ok(v1::VersionResponse {
            version: "0.1.0".to_owned(),
            runtime_name: "coxswain".to_owned(),
            runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime_api_version: "v1".to_owned(),
        })
    }

    async fn status(&self, _: v1::StatusRequest) -> Result<v1::StatusResponse, Status> {
        let condition = |r#type: &str, status: bool, reason: &str, message: &str| v1::RuntimeCondition {
            r#type: r#type.to_owned(),
            status,
            reason: if status { String::new() } else { reason.to_owned() },
            message: if status { String::new() } else { message.to_owned() },
        };
        let is_network_ready = self.core.is_network_ready.load(Ordering::Acquire);
        let conditions = vec![
            condition("RuntimeReady", true, "", ""),
            condition(
                "NetworkReady",
                is_network_ready,
                "NetworkPluginNotReady",
                "the node has no pod CIDR yet",
            ),
        ];
        let features =
            v1::RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false };
        Ok(v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions }),
            runtime_handlers: vec![v1::RuntimeHandler { name: String::new(), features: Some(features) }],
            features: Some(v1::RuntimeFeatures { supplemental_groups_policy: true }),
            ..v1::StatusResponse::default()
        })
    }

    async fn update_runtime_config(
        &self,
        request: v1::UpdateRuntimeConfigRequest,
    ) -> Result<v1::UpdateRuntimeConfigResponse, Status> {
        let cidr =
            request.runtime_config.and_then(|c| c.network_config).map(|n| n.pod_cidr).unwrap_or_default();
        if !cidr.is_empty() {
            let configured = self.core.config.network.configure(&cidr).await;
            configured.map_err(|e| Status::unknown(format!("configure pod network: {e}")))?;
            self.core.is_network_ready.store(true, Ordering::Release);
        }
        Ok(v1::UpdateRuntimeConfigResponse {})
    }

    async fn runtime_config(&self, _: v1::RuntimeConfigRequest) -> Result<v1::RuntimeConfigResponse, Status> {
        let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: v1::CgroupDriver::Cgroupfs as i32 };
        Ok(v1::RuntimeConfigResponse { linux: Some(linux) })
    }

    async fn run_pod_sandbox(
        &self,
        request: v1::RunPodSandboxRequest,
    ) -> Result<v1::RunPodSandboxResponse, Status> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("sandbox config is missing"))?;
        let pod_sandbox_id = sandboxes::run(&self.core, config, request.runtime_handler).await?;
        Ok(v1::RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(
        &self,
        request: v1::StopPodSandboxRequest,
    ) -> Result<v1::StopPodSandboxResponse, Status> {
        if let Some(sandbox) = if_there(self.core.sandboxes.find(&request.pod_sandbox_id))? {
            sandboxes::stop(&self.core, &sandbox).await?;
        }
        Ok(v1::StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: v1::RemovePodSandboxRequest,
    ) -> Result<v1::RemovePodSandboxResponse, Status> {
        if let Some(sandbox) = if_there(self.core.sandboxes.find(&request.pod_sandbox_id))? {
            sandboxes::remove(&self.core, &sandbox).await?;
        }
        Ok(v1::RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: v1::PodSandboxStatusRequest,
    ) -> Result<v1::PodSandboxStatusResponse, Status> {
        let sandbox = self.core.sandboxes.find(&request.pod_sandbox_id)?;
        Ok(v1::PodSandboxStatusResponse {
            status: Some(sandbox.status()),
            containers_statuses: self.core.containers_of(&sandbox.id).iter().map(|c| c.status()).collect(),
            timestamp: clock::now_ns(),
            ..v1::PodSandboxStatusResponse::default()
        })
    }

    async fn list_pod_sandbox(
        &self,
        request: v1::ListPodSandboxRequest,
    ) -> Result<v1::ListPodSandboxResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let sandboxes = self.core.sandboxes.all();
        let items = sandboxes.iter().map(|sandbox| sandbox.summary());
        Ok(v1::ListPodSandboxResponse { items: items.filter(|item| filter.matches(item)).collect() })
    }

    async fn create_container(
        &self,
        request: v1::CreateContainerRequest,
    ) -> Result<v1::CreateContainerResponse, Status> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("container config is missing"))?;
        let sandbox = self.core.sandboxes.find(&request.pod_sandbox_id)?;
        Ok(v1::CreateContainerResponse {
            container_id: containers::create(&self.core, &sandbox, config).await?,
        })
    }

    async fn start_container(
        &self,
        request: v1::StartContainerRequest,
    ) -> Result<v1::StartContainerResponse, Status> {
        let container = self.core.containers.find(&request.container_id)?;
        containers::start(&self.core, &container).await?;
        Ok(v1::StartContainerResponse {})
    }

    async fn stop_container(
        &self,
        request: v1::StopContainerRequest,
    ) -> Result<v1::StopContainerResponse, Status> {
        if let Some(container) = if_there(self.core.containers.find(&request.container_id))? {
            containers::stop(&self.core, &container, seconds(request.timeout)).await?;
        }
        Ok(v1::StopContainerResponse {})
    }

    async fn remove_container(
        &self,
        request: v1::RemoveContainerRequest,
    ) -> Result<v1::RemoveContainerResponse, Status> {
        if let Some(container) = if_there(self.core.containers.find(&request.container_id))? {
            containers::remove(&self.core, &container).await?;
        }
        Ok(v1::RemoveContainerResponse {})
    }

    async fn list_containers(
        &self,
        request: v1::ListContainersRequest,
    ) -> Result<v1::ListContainersResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let containers = self.core.containers.all();
        let items = containers.iter().map(|container| container.summary());
        Ok(v1::ListContainersResponse { containers: items.filter(|item| filter.matches(item)).collect() })
    }

    async fn container_status(
        &self,
        request: v1::ContainerStatusRequest,
    ) -> Result<v1::ContainerStatusResponse, Status> {
        let container = self.core.containers.find(&request.container_id)?;
        Ok(v1::ContainerStatusResponse {
            status: Some(container.status()),
            ..v1::ContainerStatusResponse::default()
        })
    }

    async fn update_container_resources(
        &self,
        request: v1::UpdateContainerResourcesRequest,
    ) -> Result<v1::UpdateContainerResourcesResponse, Status> {
        let container = self.core.containers.find(&request.container_id)?;
        if let Some(resources) = request.linux {
            let (cgroups, wanted) = (self.core.cgroups.clone(), resources.clone());
            let path = container.record.cgroup_path.clone();
            container.running()?;
            blocking(move || crate::limits::apply(&cgroups, &path, &wanted)).await?;
            container.set_resources(resources);
        }
        Ok(v1::UpdateContainerResourcesResponse {})
    }

    async fn reopen_container_log(
        &self,
        request: v1::ReopenContainerLogRequest,
    ) -> Result<v1::ReopenContainerLogResponse, Status> {
        let container = self.core.containers.find(&request.container_id)?;
        container.running()?;
        let monitor = self.core.sandboxes.find(&container.record.sandbox)?.monitor()?;
        monitor.reopen_log(&container.record.id).await?;
        Ok(v1::ReopenContainerLogResponse {})
    }

    async fn exec_sync(&self, request: v1::ExecSyncRequest) -> Result<v1::ExecSyncResponse, Status> {
        let container = self.core.containers.find(&request.container_id)?;
        let finished = exec::run(&self.core, &container, &request.cmd, seconds(request.timeout)).await?;
        Ok(v1::ExecSyncResponse {
            stdout: finished.stdout,
            stderr: finished.stderr,
            exit_code: finished.code,
        })
    }

    async fn exec(&self, request: v1::ExecRequest) -> Result<v1::ExecResponse, Status> {
        check_streams(request.tty, request.stdin, request.stdout, request.stderr)?;
        let container = self.core.containers.find(&request.container_id)?;
        container.running()?;
        let url = self.streams.url(Wanted {
            container: container.record.id.clone(),
            command: Some(request.cmd),
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        })?;
        Ok(v1::ExecResponse { url })
    }

    async fn attach(&self, request: v1::AttachRequest) -> Result<v1::AttachResponse, Status> {
        check_streams(request.tty, request.stdin, request.stdout, request.stderr)?;
        let container = self.core.containers.find(&request.container_id)?;
        container.running()?;
        let url = self.streams.url(Wanted {
            container: container.record.id.clone(),
            command: None,
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        })?;
        Ok(v1::AttachResponse { url })
    }

    async fn port_forward(&self, _: v1::PortForwardRequest) -> Result<v1::PortForwardResponse, Status> {
        Err(Status::unimplemented("port forwarding is not supported by this runtime"))
    }

    async fn container_stats(
        &self,
        request: v1::ContainerStatsRequest,
    ) -> Result<v1::ContainerStatsResponse, Status> {
        let container = self.core.containers.find(&request.container_id)?;
        let core = Arc::clone(&self.core);
        let stats = blocking(move || Ok(stats::of_container(&core, &container))).await?;
        Ok(v1::ContainerStatsResponse { stats: Some(stats) })
    }

    async fn list_container_stats(
        &self,
        request: v1::ListContainerStatsRequest,
    ) -> Result<v1::ListContainerStatsResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let core = Arc::clone(&self.core);
        let stats = blocking(move || {
            let containers = core.containers.all();
            let running = containers.iter().filter(|c| c.running().is_ok() && filter.matches(&c.summary()));
            Ok(running.map(|container| stats::of_container(&core, container)).collect())
        })
        .await?;
        Ok(v1::ListContainerStatsResponse { stats })
    }

    async fn pod_sandbox_stats(
        &self,
        request: v1::PodSandboxStatsRequest,
    ) -> Result<v1::PodSandboxStatsResponse, Status> {
        let sandbox = self.core.sandboxes.find(&request.pod_sandbox_id)?;
        let core = Arc::clone(&self.core);
        let stats = blocking(move || Ok(stats::of_sandbox(&core, &sandbox))).await?;
        Ok(v1::PodSandboxStatsResponse { stats: Some(stats) })
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: v1::ListPodSandboxStatsRequest,
    ) -> Result<v1::ListPodSandboxStatsResponse, Status> {
        let filter = request.filter.unwrap_or_default();
        let core = Arc::clone(&self.core);
        let stats = blocking(move || {
            let sandboxes = core.sandboxes.all();
            let wanted = sandboxes.iter().filter(|sandbox| filter.matches(&sandbox.summary()));
            Ok(wanted.map(|sandbox| stats::of_sandbox(&core, sandbox)).collect())
        })
        .await?;
        Ok(v1::ListPodSandboxStatsResponse { stats })
    }

    async fn get_container_events(&self, _: v1::GetEventsRequest) -> Result<Events, Status> {
        let events = futures::stream::unfold(self.core.subscribe(), |mut events| async move {
            match events.recv().await {
                Ok(event) => Some((Ok(event), events)),
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    Some((Err(Status::data_loss(format!("{count} events were lost"))), events))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        Ok(events.boxed())
    }

    async fn list_images(&self, request: v1::ListImagesRequest) -> Result<v1::ListImagesResponse, Status> {
        let wanted =
            request.filter.and_then(|filter| filter.image).map(|image| image.image).unwrap_or_default();
        let found = if wanted.is_empty() {
            let images = self.core.images.clone();
            blocking(move || images.list()).await?
        } else {
            self.find_image(wanted).await?.into_iter().collect()
        };
        let mut images = Vec::new();
        for image in found {
            images.push(self.describe_image(image).await?);
        }
        Ok(v1::ListImagesResponse { images })
    }

    async fn image_status(&self, request: v1::ImageStatusRequest) -> Result<v1::ImageStatusResponse, Status> {
        let name = request.image.map(|image| image.image).unwrap_or_default();
        let image = match self.find_image(name).await? {
            Some(image) => Some(self.describe_image(image).await?),
            None => None,
        };
        Ok(v1::ImageStatusResponse { image, ..v1::ImageStatusResponse::default() })
    }

    async fn pull_image(&self, request: v1::PullImageRequest) -> Result<v1::PullImageResponse, Status> {
        let name = request.image.map(|image| image.image).unwrap_or_default();
        let auth = request.auth.unwrap_or_default();
        let credentials = Credentials {
            username: auth.username,
            password: auth.password,
            auth: auth.auth,
            registry_token: auth.registry_token,
            identity_token: auth.identity_token,
        };
        Ok(v1::PullImageResponse { image_ref: self.puller.pull(&name, &credentials).await? })
    }

    async fn remove_image(&self, request: v1::RemoveImageRequest) -> Result<v1::RemoveImageResponse, Status> {
        let name = request.image.map(|image| image.image).unwrap_or_default();
        let images = self.core.images.clone();
        blocking(move || images.remove(&name)).await?;
        Ok(v1::RemoveImageResponse {})
    }

    async fn image_fs_info(&self, _: v1::ImageFsInfoRequest) -> Result<v1::ImageFsInfoResponse, Status> {
        let core = Arc::clone(&self.core);
        let (images, containers) = blocking(move || stats::of_file_systems(&core)).await?;
        Ok(v1::ImageFsInfoResponse {
            image_filesystems: vec![images],
            container_filesystems: vec![containers],
        })
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

/// The rules of the CRI for streaming requests.
fn check_streams(tty: bool, stdin: bool, stdout: bool, stderr: bool) -> Result<()> {
    if tty && stderr {
        return Err(Error::Invalid("tty and stderr cannot both be true".to_owned()));
    }
    if !(stdin || stdout || stderr) {
        return Err(Error::Invalid("one of stdin, stdout, or stderr must be set".to_owned()));
    }
    Ok(())
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}
