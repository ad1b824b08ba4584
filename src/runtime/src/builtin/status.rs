//! The runtime about itself: version, readiness, what it can do, and what it is told about the network.

use std::sync::atomic::Ordering;

use cri::{Status, v1};

use super::BuiltIn;

pub(super) fn version() -> Result<v1::VersionResponse, Status> {
    Ok(v1::VersionResponse {
        version: "0.1.0".to_owned(),
        runtime_name: "coxswain".to_owned(),
        runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_api_version: "v1".to_owned(),
    })
}

pub(super) fn status(runtime: &BuiltIn) -> Result<v1::StatusResponse, Status> {
    let condition = |r#type: &str, status: bool, reason: &str, message: &str| v1::RuntimeCondition {
        r#type: r#type.to_owned(),
        status,
        reason: if status { String::new() } else { reason.to_owned() },
        message: if status { String::new() } else { message.to_owned() },
    };
    let is_network_ready = runtime.core.is_network_ready.load(Ordering::Acquire);
    let conditions = vec![
        condition("RuntimeReady", true, "", ""),
        condition("NetworkReady", is_network_ready, "NetworkPluginNotReady", "the node has no pod CIDR yet"),
    ];
    let features = v1::RuntimeHandlerFeatures { recursive_read_only_mounts: true, user_namespaces: false };
    Ok(v1::StatusResponse {
        status: Some(v1::RuntimeStatus { conditions }),
        runtime_handlers: vec![v1::RuntimeHandler { name: String::new(), features: Some(features) }],
        features: Some(v1::RuntimeFeatures { supplemental_groups_policy: true }),
        ..v1::StatusResponse::default()
    })
}

pub(super) async fn update_config(
    runtime: &BuiltIn,
    request: v1::UpdateRuntimeConfigRequest,
) -> Result<v1::UpdateRuntimeConfigResponse, Status> {
    let cidr = request.runtime_config.and_then(|c| c.network_config).map(|n| n.pod_cidr).unwrap_or_default();
    if !cidr.is_empty() {
        let configured = runtime.core.config.network.configure(&cidr).await;
        configured.map_err(|e| Status::unknown(format!("configure pod network: {e}")))?;
        runtime.core.is_network_ready.store(true, Ordering::Release);
    }
    Ok(v1::UpdateRuntimeConfigResponse {})
}

pub(super) fn config() -> Result<v1::RuntimeConfigResponse, Status> {
    let linux = v1::LinuxRuntimeConfiguration { cgroup_driver: v1::CgroupDriver::Cgroupfs as i32 };
    Ok(v1::RuntimeConfigResponse { linux: Some(linux) })
}
