//! The calls about sandboxes.

use cri::{Status, v1};

use super::{BuiltIn, if_there};
use crate::clock;
use crate::filter::Matches;
use crate::sandbox::life as sandboxes;

pub(super) async fn run(
    runtime: &BuiltIn,
    request: v1::RunPodSandboxRequest,
) -> Result<v1::RunPodSandboxResponse, Status> {
    let config = request.config.ok_or_else(|| Status::invalid_argument("sandbox config is missing"))?;
    let pod_sandbox_id = sandboxes::run(&runtime.core, config, request.runtime_handler).await?;
    Ok(v1::RunPodSandboxResponse { pod_sandbox_id })
}

pub(super) async fn stop(
    runtime: &BuiltIn,
    request: v1::StopPodSandboxRequest,
) -> Result<v1::StopPodSandboxResponse, Status> {
    if let Some(sandbox) = if_there(runtime.core.sandboxes.find(&request.pod_sandbox_id))? {
        sandboxes::stop(&runtime.core, &sandbox).await?;
    }
    Ok(v1::StopPodSandboxResponse {})
}

pub(super) async fn remove(
    runtime: &BuiltIn,
    request: v1::RemovePodSandboxRequest,
) -> Result<v1::RemovePodSandboxResponse, Status> {
    if let Some(sandbox) = if_there(runtime.core.sandboxes.find(&request.pod_sandbox_id))? {
        sandboxes::remove(&runtime.core, &sandbox).await?;
    }
    Ok(v1::RemovePodSandboxResponse {})
}

pub(super) fn status(
    runtime: &BuiltIn,
    request: v1::PodSandboxStatusRequest,
) -> Result<v1::PodSandboxStatusResponse, Status> {
    let sandbox = runtime.core.sandboxes.find(&request.pod_sandbox_id)?;
    Ok(v1::PodSandboxStatusResponse {
        status: Some(sandbox.status()),
        containers_statuses: runtime.core.containers_of(&sandbox.id).iter().map(|c| c.status()).collect(),
        timestamp: clock::now_ns(),
        ..v1::PodSandboxStatusResponse::default()
    })
}

pub(super) fn list(
    runtime: &BuiltIn,
    request: v1::ListPodSandboxRequest,
) -> Result<v1::ListPodSandboxResponse, Status> {
    let filter = request.filter.unwrap_or_default();
    let sandboxes = runtime.core.sandboxes.all();
    let items = sandboxes.iter().map(|sandbox| sandbox.summary());
    Ok(v1::ListPodSandboxResponse { items: items.filter(|item| filter.matches(item)).collect() })
}
