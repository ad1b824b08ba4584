//! What the Node object says about the node (upstream: kubelet/nodestatus). Pure.

use std::collections::BTreeMap;

use cri::v1;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
        NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus, NodeSystemInfo,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time},
};

use objects::resources::Amounts;

use super::pressure::Pressure;
use crate::{host::Host, machine::MAX_PODS, status::whole_second};

/// More images, and more names of one, are not listed.
const MAX_IMAGES: usize = 50;
const MAX_IMAGE_NAMES: usize = 5;

pub(super) struct Input<'a> {
    pub host: &'a Host,
    pub port: u16,
    pub version: &'a v1::VersionResponse,
    pub runtime: Result<&'a v1::StatusResponse, &'a cri::Status>,
    pub images: &'a [v1::Image],
    pub pressure: Pressure,
    /// The status before, for transition times.
    pub old: Option<&'a NodeStatus>,
    /// What the API has, with what others put there.
    pub in_api: Option<&'a NodeStatus>,
    pub now: Timestamp,
}

pub(super) fn status(input: &Input<'_>) -> NodeStatus {
    let config = &input.host.config;
    let address = |type_: &str, address: String| NodeAddress { type_: type_.into(), address };
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", config.node_ip.to_string()),
            address("Hostname", config.node_name.clone()),
        ]),
        capacity: Some(capacity(input.host)),
        allocatable: Some(allocatable(input)),
        conditions: Some(conditions(input)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: input.port.into() }),
        }),
        node_info: Some(node_info(input)),
        images: Some(images(input.images)).filter(|images| !images.is_empty()),
        runtime_handlers: handlers(input.runtime),
        features: features(input.runtime),
        ..NodeStatus::default()
    }
}

type Resources = BTreeMap<String, Quantity>;

fn resources(cpu: String, memory: i64, storage: String, hugepages: &[(String, i64)]) -> Resources {
    let fixed = [
        ("cpu", cpu),
        ("memory", binary(memory)),
        ("ephemeral-storage", storage),
        ("pods", MAX_PODS.to_string()),
    ];
    let fixed = fixed.map(|(name, amount)| (name.to_owned(), Quantity(amount)));
    let pages = hugepages.iter().map(|(name, bytes)| (name.clone(), Quantity(binary(*bytes))));
    fixed.into_iter().chain(pages).collect()
}

fn capacity(host: &Host) -> Resources {
    let machine = &host.machine;
    let storage = binary(machine.storage_bytes);
    resources(machine.cores.to_string(), machine.memory_bytes, storage, &machine.hugepages)
}

/// What pods may use of the machine, and all of what somebody else said the node has.
fn allocatable(input: &Input<'_>) -> Resources {
    let machine = &input.host.machine;
    let amounts = machine.allocatable();
    let storage = amounts.ephemeral_bytes.to_string();
    let own = resources(machine.cores.to_string(), amounts.memory_bytes, storage, &machine.hugepages);
    let in_api = input.in_api.and_then(|status| status.capacity.clone()).unwrap_or_default();
    in_api.into_iter().filter(|(name, _)| name.contains('/')).chain(own).collect()
}

/// Bytes as a quantity in the largest binary unit that leaves a whole number.
fn binary(bytes: i64) -> String {
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    let fits = units.into_iter().find(|(shift, _)| bytes != 0 && bytes % (1 << shift) == 0);
    fits.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

fn node_info(input: &Input<'_>) -> NodeSystemInfo {
    let machine = &input.host.machine;
    NodeSystemInfo {
        architecture: machine.architecture.into(),
        boot_id: machine.boot_id.clone(),
        container_runtime_version: format!(
            "{}://{}",
            input.version.runtime_name, input.version.runtime_version
        ),
        kernel_version: machine.kernel_version.clone(),
        kube_proxy_version: String::new(),
        kubelet_version: input.host.config.version.clone(),
        machine_id: machine.machine_id.clone(),
        operating_system: "linux".into(),
        os_image: machine.os_image.clone(),
        system_uuid: machine.system_uuid.clone(),
        ..NodeSystemInfo::default()
    }
}

fn images(images: &[v1::Image]) -> Vec<ContainerImage> {
    let mut largest: Vec<&v1::Image> = images.iter().collect();
    largest.sort_by_key(|image| std::cmp::Reverse(image.size));
    largest
        .into_iter()
        .take(MAX_IMAGES)
        .map(|image| ContainerImage {
            names: Some(
                image.repo_digests.iter().chain(&image.repo_tags).take(MAX_IMAGE_NAMES).cloned().collect(),
            ),
            size_bytes: i64::try_from(image.size).ok(),
        })
        .collect()
}

fn handlers(runtime: Result<&v1::StatusResponse, &cri::Status>) -> Option<Vec<NodeRuntimeHandler>> {
    let handlers = &runtime.ok()?.runtime_handlers;
    let listed = handlers.iter().map(|handler| {
        let features = handler.features.unwrap_or_default();
        NodeRuntimeHandler {
            name: Some(handler.name.clone()),
            features: Some(NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(features.recursive_read_only_mounts),
                user_namespaces: Some(features.user_namespaces),
            }),
        }
    });
    Some(listed.collect()).filter(|list: &Vec<_>| !list.is_empty())
}

fn features(runtime: Result<&v1::StatusResponse, &cri::Status>) -> Option<NodeFeatures> {
    let features = runtime.ok()?.features?;
    Some(NodeFeatures { supplemental_groups_policy: Some(features.supplemental_groups_policy) })
}

/// Whether pods can have addresses; otherwise the runtime's reason.
pub(super) fn network(runtime: &v1::StatusResponse) -> Result<(), String> {
    condition(runtime, "NetworkReady", "container runtime network not ready")
}

fn condition(runtime: &v1::StatusResponse, type_: &str, what: &str) -> Result<(), String> {
    let found = runtime.status.iter().flat_map(|status| &status.conditions).find(|c| c.r#type == type_);
    match found {
        Some(found) if found.status => Ok(()),
        Some(found) => {
            Err(format!("{what}: {type_}=false reason:{} message:{}", found.reason, found.message))
        }
        None => Err(format!("{what}: {type_} is not reported")),
    }
}

fn readiness(runtime: Result<&v1::StatusResponse, &cri::Status>) -> Result<(), String> {
    let runtime = runtime.map_err(|status| format!("container runtime is down: {}", status.message()))?;
    let checks = [condition(runtime, "RuntimeReady", "container runtime not ready"), network(runtime)];
    let errors: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

fn conditions(input: &Input<'_>) -> Vec<NodeCondition> {
    let ready = readiness(input.runtime);
    let (status, reason, message) = match &ready {
        Ok(()) => ("True", "KubeletReady", "kubelet is posting ready status"),
        Err(why) => ("False", "KubeletNotReady", why.as_str()),
    };
    let parts = input.pressure.conditions().into_iter().chain([("Ready", status, reason, message)]);
    parts
        .map(|(type_, status, reason, message)| one_condition(input, type_, status, reason, message))
        .collect()
}

fn one_condition(input: &Input<'_>, type_: &str, status: &str, reason: &str, message: &str) -> NodeCondition {
    let now = Time(whole_second(input.now));
    let old = input.old.and_then(|old| old.conditions.as_ref()).into_iter().flatten();
    let kept = old.into_iter().find(|old| old.type_ == type_ && old.status == status);
    NodeCondition {
        type_: type_.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: kept.and_then(|old| old.last_transition_time.clone()).or(Some(now)),
    }
}

/// Whether `new` says nothing but a later heartbeat.
pub(super) fn says_the_same(old: &NodeStatus, new: &NodeStatus) -> bool {
    let own = |status: &NodeStatus| -> Vec<(String, String, Option<String>, Option<String>)> {
        let wanted = new.conditions.iter().flatten();
        wanted
            .filter_map(|wanted| status.conditions.iter().flatten().find(|c| c.type_ == wanted.type_))
            .map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone()))
            .collect()
    };
    let images = |status: &NodeStatus| status.images.clone().unwrap_or_default();
    own(old) == own(new)
        && images(old) == images(new)
        && old.addresses == new.addresses
        && has(old.capacity.as_ref(), new.capacity.as_ref())
        && has(old.allocatable.as_ref(), new.allocatable.as_ref())
        && old.daemon_endpoints == new.daemon_endpoints
        && old.node_info == new.node_info
}

/// Whether `present` has all amounts of `wanted`, however they are written.
fn has(present: Option<&Resources>, wanted: Option<&Resources>) -> bool {
    let amounts = |list: Option<&Resources>| list.map(Amounts::of).unwrap_or_default();
    let (present, wanted) = (amounts(present), amounts(wanted));
    wanted.iter().all(|(name, amount)| present.contains(name) && present.get(name) == amount)
}

/// The reasons of events about conditions that are not what they were.
pub(super) fn transitions(old: Option<&NodeStatus>, new: &NodeStatus) -> Vec<&'static str> {
    let before = |type_: &str| {
        let mut conditions = old.and_then(|old| old.conditions.as_ref()).into_iter().flatten();
        conditions.find(|condition| condition.type_ == type_).map(|condition| condition.status.clone())
    };
    let changed =
        new.conditions.iter().flatten().filter(|now| before(&now.type_).as_ref() != Some(&now.status));
    changed
        .filter_map(|now| match (now.type_.as_str(), now.status.as_str()) {
            ("MemoryPressure", "True") => Some("NodeHasInsufficientMemory"),
            ("DiskPressure", "True") => Some("NodeHasDiskPressure"),
            ("PIDPressure", "True") => Some("NodeHasInsufficientPID"),
            ("MemoryPressure", "False") => Some("NodeHasSufficientMemory"),
            ("DiskPressure", "False") => Some("NodeHasNoDiskPressure"),
            ("PIDPressure", "False") => Some("NodeHasSufficientPID"),
            ("Ready", "True") => Some("NodeReady"),
            ("Ready", _) if before("Ready").is_some() => Some("NodeNotReady"),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(conditions: &[(&str, bool)], expected: Result<(), &str>) {
        let conditions = conditions.iter().map(|(type_, status)| v1::RuntimeCondition {
            r#type: (*type_).into(),
            status: *status,
            reason: "R".into(),
            message: "m".into(),
        });
        let status = v1::RuntimeStatus { conditions: conditions.collect() };
        let answer = v1::StatusResponse { status: Some(status), ..v1::StatusResponse::default() };
        assert_eq!(readiness(Ok(&answer)), expected.map_err(str::to_owned));
    }

    #[test]
    fn the_node_is_ready_once_runtime_and_network_are() {
        check(&[("RuntimeReady", true), ("NetworkReady", true)], Ok(()));
        check(
            &[("RuntimeReady", true), ("NetworkReady", false)],
            Err("container runtime network not ready: NetworkReady=false reason:R message:m"),
        );
    }

    #[test]
    fn bytes_are_shown_in_the_largest_whole_unit() {
        assert_eq!([0, 1000, 2 << 20, 5 << 30].map(binary), ["0", "1000", "2Mi", "5Gi"]);
    }
}
