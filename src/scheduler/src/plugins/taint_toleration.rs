//! TaintToleration: keeps pods off nodes whose taints they do not tolerate, and prefers nodes with fewer soft taints.

use k8s_openapi::api::core::v1::Taint;
use objects::taints;

use crate::{
    framework::{NodeFilter, NodeScore, Verdict, normalize_reversed},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct TaintToleration;

impl NodeFilter for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match taints::untolerated(taints_of(node), pod.tolerations(), &["NoSchedule", "NoExecute"]) {
            None => Verdict::Fits,
            Some(_) => Verdict::unresolvable("node(s) had untolerated taint(s)"),
        }
    }
}

impl NodeScore for TaintToleration {
    fn weight(&self) -> i64 {
        3
    }

    /// The number of soft taints that the pod does not tolerate.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let soft = taints_of(node).iter().filter(|taint| taint.effect == "PreferNoSchedule");
        let tolerated = |taint: &Taint| pod.tolerations().iter().any(|one| taints::tolerates(one, taint));
        i64::try_from(soft.filter(|taint| !tolerated(taint)).count()).unwrap_or(i64::MAX)
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_reversed(scores);
    }
}

fn taints_of(node: &NodeInfo) -> &[Taint] {
    node.node.as_ref().map(|node| objects::node::taints(node)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{check, check_scores, node, pod};

    fn tainted(effect: &str) -> NodeInfo {
        let taints = json!([{"key": "gpu", "value": "yes", "effect": effect}]);
        node(json!({"metadata": {"name": "a"}, "spec": {"taints": taints}}))
    }

    #[test]
    fn hard_taints_keep_pods_off_unless_tolerated() {
        let tolerant = pod(json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]}));
        let reason = "node(s) had untolerated taint(s)";
        check(&TaintToleration, &pod(json!({})), &tainted("NoSchedule"), &[reason]);
        check(&TaintToleration, &pod(json!({})), &tainted("NoExecute"), &[reason]);
        check(&TaintToleration, &pod(json!({})), &tainted("PreferNoSchedule"), &[]);
        check(&TaintToleration, &tolerant, &tainted("NoSchedule"), &[]);
    }

    #[test]
    fn nodes_without_soft_taints_are_better() {
        let nodes = [tainted("PreferNoSchedule"), tainted("NoSchedule")];
        check_scores(&TaintToleration, &pod(json!({})), &nodes, &[0, 100]);
        check_scores(&TaintToleration, &pod(json!({})), &nodes[1..], &[100]);
    }
}
