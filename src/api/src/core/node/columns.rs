//! The table of nodes (upstream: `printNode`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, NodeSystemInfo};
use k8s_openapi::jiff::Timestamp;
use machinery::table::Column;
use serde_json::Value;

use crate::cells::{self, NONE};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";
const ROLE: &str = "kubernetes.io/role";

pub(super) fn columns() -> Vec<Column> {
    vec![
        cells::name(),
        cells::column("Status", "string", "Whether the node is ready and takes new pods."),
        cells::column("Roles", "string", "Roles by the node's labels."),
        cells::age(),
        cells::column("Version", "string", "Version of the kubelet."),
        cells::wide("Internal-IP", "string", "Address within the cluster."),
        cells::wide("External-IP", "string", "Address from outside."),
        cells::wide("OS-Image", "string", "Operating system."),
        cells::wide("Kernel-Version", "string", "Version of the kernel."),
        cells::wide("Container-Runtime", "string", "Container runtime and its version."),
    ]
}

pub(super) fn row(node: &Node, now: Timestamp) -> Vec<Value> {
    let unknown = NodeSystemInfo::default();
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref()).unwrap_or(&unknown);
    vec![
        cells::name_of(&node.metadata),
        status(node).into(),
        roles(node).into(),
        cells::age_of(&node.metadata, now),
        Value::from(info.kubelet_version.as_str()),
        address(node, "InternalIP").into(),
        address(node, "ExternalIP").into(),
        or_unknown(&info.os_image).into(),
        kernel(info).into(),
        or_unknown(&info.container_runtime_version).into(),
    ]
}

fn status(node: &Node) -> String {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.rfind(|condition| condition.type_ == "Ready");
    let mut status = match ready {
        Some(condition) if condition.status == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(node: &Node) -> String {
    let role = |(key, value): (&String, &String)| match key.strip_prefix(ROLE_PREFIX) {
        Some(role) => Some(role.to_owned()),
        None => (key == ROLE).then(|| value.clone()),
    };
    let labels = node.metadata.labels.iter().flatten();
    let roles: BTreeSet<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { NONE.to_owned() } else { Vec::from_iter(roles).join(",") }
}

fn address(node: &Node, type_: &str) -> String {
    let mut addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let found = addresses.find(|address| address.type_ == type_);
    found.map_or_else(|| NONE.to_owned(), |address| address.address.clone())
}

fn kernel(info: &NodeSystemInfo) -> String {
    let version = or_unknown(&info.kernel_version);
    if info.architecture.is_empty() { version } else { format!("{version} ({})", info.architecture) }
}

fn or_unknown(text: &str) -> String {
    if text.is_empty() { "<unknown>".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn a_cordoned_control_plane_node() {
        let node = object::<Node>(
            r#"{"metadata":{"name":"a","labels":{"node-role.kubernetes.io/control-plane":""}},"spec":{"unschedulable":true},
            "status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"10.0.0.1"}],
            "nodeInfo":{"kubeletVersion":"v1","kernelVersion":"6.1","architecture":"amd64"}}}"#,
        );
        let expected = [
            "a",
            "Ready,SchedulingDisabled",
            "control-plane",
            "<unknown>",
            "v1",
            "10.0.0.1",
            "<none>",
            "<unknown>",
            "6.1 (amd64)",
            "<unknown>",
        ];
        assert_eq!(row(&node, Timestamp::UNIX_EPOCH), expected.map(Value::from));
    }
}
