//! Conditions of a silent node, and the taints that conditions ask for. Pure.

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, NodeCondition, Taint},
    apimachinery::pkg::apis::meta::v1::Time,
};
use objects::node::{self, TAINT_NOT_READY, TAINT_UNREACHABLE, TAINT_UNSCHEDULABLE};

/// What only the kubelet can tell.
const KUBELET_CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Condition, status, and the taint that follows.
const TAINT_BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", TAINT_NOT_READY),
    ("Ready", "Unknown", TAINT_UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// Whether pods are to be evicted from a node that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eviction {
    /// Yes.
    Due,
    /// Not, even where that was begun.
    Off,
}

/// Whether two states of a node may lead to different plans; heartbeats alone do not.
pub(super) fn differ(old: &Node, new: &Node) -> bool {
    let statuses = |node: &Node| {
        let conditions =
            node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions.into_iter().map(|condition| (condition.type_, condition.status)).collect::<Vec<_>>()
    };
    old.spec != new.spec || statuses(old) != statuses(new)
}

/// The conditions of a node that nothing is heard of, or `None` where it has them.
pub(super) fn unknown_conditions(node: &Node, now: Timestamp) -> Option<Vec<NodeCondition>> {
    let changed: Vec<NodeCondition> = KUBELET_CONDITIONS
        .into_iter()
        .filter_map(|type_| match node::condition(node, type_) {
            Some(condition) if condition.status == "Unknown" => None,
            Some(condition) => Some(NodeCondition {
                status: "Unknown".into(),
                reason: Some("NodeStatusUnknown".into()),
                message: Some("Kubelet stopped posting node status.".into()),
                last_transition_time: Some(Time(now)),
                ..condition.clone()
            }),
            None => Some(NodeCondition {
                type_: type_.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(Time(now)),
            }),
        })
        .collect();
    (!changed.is_empty()).then_some(changed)
}

/// Whether the node's pods would be evicted and are not yet: somebody has to say whether it is time.
pub(super) fn awaits_eviction(node: &Node) -> bool {
    let evicts = |(key, effect): &(&str, &str)| *effect == "NoExecute" && is_evicting(key);
    wanted(node, Eviction::Due).iter().any(evicts)
        && !node::taints(node).iter().any(|taint| evicts(&(&taint.key, &taint.effect)))
}

/// The taints that the node is to have, or `None` where it has them. Taints that are not ours stay.
pub(super) fn taints(node: &Node, eviction: Eviction, now: Timestamp) -> Option<Vec<Taint>> {
    let wanted = wanted(node, eviction);
    let present = node::taints(node);
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> =
        present.iter().filter(|taint| !is_managed(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in &wanted {
        if !taints.iter().any(|taint| taint.key == *key && taint.effect == *effect) {
            taints.push(Taint {
                key: (*key).into(),
                effect: (*effect).into(),
                time_added: Some(Time(now)),
                value: None,
            });
        }
    }
    (taints != present).then_some(taints)
}

/// Key and effect of each taint that follows from the node's conditions.
fn wanted(node: &Node, eviction: Eviction) -> Vec<(&'static str, &'static str)> {
    let holds = |(type_, status, _): &&(&str, &str, &str)| {
        node::condition(node, type_).is_some_and(|condition| condition.status == *status)
    };
    let mut wanted = Vec::new();
    for (type_, _, key) in TAINT_BY_CONDITION.iter().filter(holds) {
        wanted.push((*key, "NoSchedule"));
        if *type_ == "Ready" && eviction == Eviction::Due {
            wanted.push((*key, "NoExecute"));
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push((TAINT_UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

fn is_managed(taint: &Taint) -> bool {
    let ours =
        taint.key == TAINT_UNSCHEDULABLE || TAINT_BY_CONDITION.iter().any(|(.., key)| *key == taint.key);
    ours && (taint.effect == "NoSchedule" || (taint.effect == "NoExecute" && is_evicting(&taint.key)))
}

fn is_evicting(key: &str) -> bool {
    key == TAINT_NOT_READY || key == TAINT_UNREACHABLE
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Conditions as `Type=Status`, taints as `key:Effect` with `node.kubernetes.io/` left out.
    fn check(conditions: &[&str], unschedulable: bool, present: &[&str], expected: Option<&[&str]>) {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|text| text.split_once('=').unwrap())
            .map(|(type_, status)| json!({"type": type_, "status": status}))
            .collect();
        let taints: Vec<_> = present
            .iter()
            .map(|text| text.split_once(':').unwrap())
            .map(|(key, effect)| json!({"key": format!("node.kubernetes.io/{key}"), "effect": effect}))
            .collect();
        let node: Node = serde_json::from_value(json!({
            "spec": {"taints": taints, "unschedulable": unschedulable},
            "status": {"conditions": conditions},
        }))
        .unwrap();
        let names = taints_of(&node, Eviction::Due);
        let names: Option<Vec<&str>> = names.as_ref().map(|names| names.iter().map(String::as_str).collect());
        assert_eq!(names.as_deref(), expected);
    }

    fn taints_of(node: &Node, eviction: Eviction) -> Option<Vec<String>> {
        let taints = taints(node, eviction, Timestamp::UNIX_EPOCH)?;
        let short = |taint: Taint| {
            format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect)
        };
        Some(taints.into_iter().map(short).collect())
    }

    #[test]
    fn taints_follow_conditions() {
        check(&["Ready=True"], false, &[], None);
        check(&["Ready=False"], false, &[], Some(&["not-ready:NoSchedule", "not-ready:NoExecute"]));
        check(
            &["Ready=Unknown"],
            false,
            &["not-ready:NoSchedule", "own:NoExecute"],
            Some(&["own:NoExecute", "unreachable:NoSchedule", "unreachable:NoExecute"]),
        );
        check(&["Ready=True", "DiskPressure=True"], false, &[], Some(&["disk-pressure:NoSchedule"]));
        check(&["Ready=True"], true, &[], Some(&["unschedulable:NoSchedule"]));
        check(&["Ready=True"], false, &["unschedulable:NoSchedule"], Some(&[]));
        check(&["Ready=True"], false, &["unschedulable:NoExecute"], None);
    }

    #[test]
    fn eviction_that_is_off_leaves_the_scheduler_warned() {
        let taint = json!({"key": TAINT_UNREACHABLE, "effect": "NoExecute"});
        let mut node: Node = serde_json::from_value(json!({
            "spec": {"taints": [taint]},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
        }))
        .unwrap();
        assert_eq!(taints_of(&node, Eviction::Off).unwrap(), ["unreachable:NoSchedule"]);
        assert!(!awaits_eviction(&node));
        node.spec = None;
        assert!(awaits_eviction(&node));
    }

    #[test]
    fn a_silent_nodes_conditions_become_unknown_once() {
        let mut node: Node =
            serde_json::from_value(json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
                .unwrap();
        let conditions = unknown_conditions(&node, Timestamp::UNIX_EPOCH).unwrap();
        let reasons: Vec<&str> = conditions.iter().map(|one| one.reason.as_deref().unwrap()).collect();
        let never = "NodeStatusNeverUpdated";
        assert_eq!(reasons, ["NodeStatusUnknown", never, never, never]);
        node.status.as_mut().unwrap().conditions = Some(conditions);
        assert_eq!(unknown_conditions(&node, Timestamp::UNIX_EPOCH), None);
    }
}
