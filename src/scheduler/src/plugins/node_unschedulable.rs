//! NodeUnschedulable: a cordoned node takes only pods that tolerate that.

use k8s_openapi::api::core::v1::Taint;
use objects::{node::TAINT_UNSCHEDULABLE, taints};

use crate::{
    framework::{NodeFilter, Verdict},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct NodeUnschedulable;

impl NodeFilter for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let spec = node.node.as_ref().and_then(|node| node.spec.as_ref());
        if spec.and_then(|spec| spec.unschedulable) != Some(true) {
            return Verdict::Fits;
        }
        let taint =
            Taint { key: TAINT_UNSCHEDULABLE.into(), effect: "NoSchedule".into(), ..Taint::default() };
        match pod.tolerations().iter().any(|toleration| taints::tolerates(toleration, &taint)) {
            true => Verdict::Fits,
            false => Verdict::unresolvable("node(s) were unschedulable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{check, node, pod};

    #[test]
    fn a_cordoned_node_takes_only_pods_that_tolerate_it() {
        let node = node(json!({"metadata": {"name": "a"}, "spec": {"unschedulable": true}}));
        check(&NodeUnschedulable, &pod(json!({})), &node, &["node(s) were unschedulable"]);
        let tolerations = json!([{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]);
        check(&NodeUnschedulable, &pod(json!({"tolerations": tolerations})), &node, &[]);
    }
}
