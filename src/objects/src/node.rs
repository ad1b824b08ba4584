//! Questions about nodes.

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

/// Set while the node's Ready condition is False; pods are evicted by it.
pub const TAINT_NOT_READY: &str = "node.kubernetes.io/not-ready";
/// Set while nothing is heard of the node.
pub const TAINT_UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Set while `spec.unschedulable`.
pub const TAINT_UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The condition of that type.
pub fn condition<'a>(node: &'a Node, type_: &str) -> Option<&'a NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the node's Ready condition is True.
pub fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|condition| condition.status == "True")
}

/// The node's taints.
pub fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}
