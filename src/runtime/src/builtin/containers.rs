//! The calls about containers.

use cri::{Status, v1};

use super::{BuiltIn, if_there, seconds};
use crate::container::{self, life as containers};
use crate::core::blocking;
use crate::filter::Matches;

pub(super) async fn create(
    runtime: &BuiltIn,
    request: v1::CreateContainerRequest,
) -> Result<v1::CreateContainerResponse, Status> {
    let config = request.config.ok_or_else(|| Status::invalid_argument("container config is missing"))?;
    let sandbox = runtime.core.sandboxes.find(&request.pod_sandbox_id)?;
    Ok(v1::CreateContainerResponse {
        container_id: container::create(&runtime.core, &sandbox, config).await?,
    })
}

pub(super) async fn start(
    runtime: &BuiltIn,
    request: v1::StartContainerRequest,
) -> Result<v1::StartContainerResponse, Status> {
    let container = runtime.core.containers.find(&request.container_id)?;
    containers::start(&runtime.core, &container).await?;
    Ok(v1::StartContainerResponse {})
}

pub(super) async fn stop(
    runtime: &BuiltIn,
    request: v1::StopContainerRequest,
) -> Result<v1::StopContainerResponse, Status> {
    if let Some(container) = if_there(runtime.core.containers.find(&request.container_id))? {
        containers::stop(&runtime.core, &container, seconds(request.timeout)).await?;
    }
    Ok(v1::StopContainerResponse {})
}

pub(super) async fn remove(
    runtime: &BuiltIn,
    request: v1::RemoveContainerRequest,
) -> Result<v1::RemoveContainerResponse, Status> {
    if let Some(container) = if_there(runtime.core.containers.find(&request.container_id))? {
        containers::remove(&runtime.core, &container).await?;
    }
    Ok(v1::RemoveContainerResponse {})
}

pub(super) fn list(
    runtime: &BuiltIn,
    request: v1::ListContainersRequest,
) -> Result<v1::ListContainersResponse, Status> {
    let filter = request.filter.unwrap_or_default();
    let containers = runtime.core.containers.all();
    let items = containers.iter().map(|container| container.summary());
    Ok(v1::ListContainersResponse { containers: items.filter(|item| filter.matches(item)).collect() })
}

pub(super) fn status(
    runtime: &BuiltIn,
    request: v1::ContainerStatusRequest,
) -> Result<v1::ContainerStatusResponse, Status> {
    let container = runtime.core.containers.find(&request.container_id)?;
    Ok(v1::ContainerStatusResponse {
        status: Some(container.status()),
        ..v1::ContainerStatusResponse::default()
    })
}

pub(super) async fn update(
    runtime: &BuiltIn,
    request: v1::UpdateContainerResourcesRequest,
) -> Result<v1::UpdateContainerResourcesResponse, Status> {
    let container = runtime.core.containers.find(&request.container_id)?;
    if let Some(resources) = request.linux {
        let (cgroups, wanted) = (runtime.core.cgroups.clone(), resources.clone());
        let path = container.record.cgroup_path.clone();
        container.running()?;
        blocking(move || crate::limits::apply(&cgroups, &path, &wanted)).await?;
        container.set_resources(resources);
    }
    Ok(v1::UpdateContainerResourcesResponse {})
}

pub(super) async fn reopen_log(
    runtime: &BuiltIn,
    request: v1::ReopenContainerLogRequest,
) -> Result<v1::ReopenContainerLogResponse, Status> {
    let container = runtime.core.containers.find(&request.container_id)?;
    container.running()?;
    let monitor = runtime.core.sandboxes.find(&container.record.sandbox)?.monitor()?;
    monitor.reopen_log(&container.record.id).await?;
    Ok(v1::ReopenContainerLogResponse {})
}
