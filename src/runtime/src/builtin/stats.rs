//! What containers, sandboxes and images take.

use std::sync::Arc;

use cri::{Status, v1};

use super::BuiltIn;
use crate::core::blocking;
use crate::filter::Matches;
use crate::stats;

pub(super) async fn of_container(
    runtime: &BuiltIn,
    request: v1::ContainerStatsRequest,
) -> Result<v1::ContainerStatsResponse, Status> {
    let container = runtime.core.containers.find(&request.container_id)?;
    let core = Arc::clone(&runtime.core);
    let stats = blocking(move || Ok(stats::of_container(&core, &container))).await?;
    Ok(v1::ContainerStatsResponse { stats: Some(stats) })
}

pub(super) async fn of_containers(
    runtime: &BuiltIn,
    request: v1::ListContainerStatsRequest,
) -> Result<v1::ListContainerStatsResponse, Status> {
    let filter = request.filter.unwrap_or_default();
    let core = Arc::clone(&runtime.core);
    let stats = blocking(move || {
        let containers = core.containers.all();
        let running = containers.iter().filter(|c| c.running().is_ok() && filter.matches(&c.summary()));
        Ok(running.map(|container| stats::of_container(&core, container)).collect())
    })
    .await?;
    Ok(v1::ListContainerStatsResponse { stats })
}

pub(super) async fn of_sandbox(
    runtime: &BuiltIn,
    request: v1::PodSandboxStatsRequest,
) -> Result<v1::PodSandboxStatsResponse, Status> {
    let sandbox = runtime.core.sandboxes.find(&request.pod_sandbox_id)?;
    let core = Arc::clone(&runtime.core);
    let stats = blocking(move || Ok(stats::of_sandbox(&core, &sandbox))).await?;
    Ok(v1::PodSandboxStatsResponse { stats: Some(stats) })
}

pub(super) async fn of_sandboxes(
    runtime: &BuiltIn,
    request: v1::ListPodSandboxStatsRequest,
) -> Result<v1::ListPodSandboxStatsResponse, Status> {
    let filter = request.filter.unwrap_or_default();
    let core = Arc::clone(&runtime.core);
    let stats = blocking(move || {
        let sandboxes = core.sandboxes.all();
        let wanted = sandboxes.iter().filter(|sandbox| filter.matches(&sandbox.summary()));
        Ok(wanted.map(|sandbox| stats::of_sandbox(&core, sandbox)).collect())
    })
    .await?;
    Ok(v1::ListPodSandboxStatsResponse { stats })
}

pub(super) async fn of_file_systems(runtime: &BuiltIn) -> Result<v1::ImageFsInfoResponse, Status> {
    let core = Arc::clone(&runtime.core);
    let (images, containers) = blocking(move || stats::of_file_systems(&core)).await?;
    Ok(v1::ImageFsInfoResponse { image_filesystems: vec![images], container_filesystems: vec![containers] })
}
