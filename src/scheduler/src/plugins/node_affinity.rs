//! NodeAffinity: node selector, required and preferred node affinity.

use k8s_openapi::api::core::v1::NodeAffinity as Affinity;
use objects::node_selector::Candidate;

use crate::{
    framework::{NodeFilter, NodeScore, Verdict, normalize},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct NodeAffinity;

impl NodeFilter for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match pod.pod.spec.as_ref().is_none_or(|spec| candidate(node).is_wanted_by(spec)) {
            true => Verdict::Fits,
            false => Verdict::unresolvable("node(s) didn't match Pod's node affinity/selector"),
        }
    }
}

impl NodeScore for NodeAffinity {
    fn weight(&self) -> i64 {
        2
    }

    /// The sum of the weights of the preferences that the node meets. A preference that asks for nothing is met by none.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let preferred = affinity(pod)
            .and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
        let met = preferred.into_iter().flatten().filter(|term| candidate(node).matches(&term.preference));
        met.map(|term| i64::from(term.weight)).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize(scores);
    }
}

fn affinity(pod: &PodInfo) -> Option<&Affinity> {
    pod.pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()
}

fn candidate(node: &NodeInfo) -> Candidate<'_> {
    let labels = node.node.as_ref().and_then(|node| node.metadata.labels.as_ref());
    Candidate { name: node.name(), labels }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{check, check_scores, node, pod};

    fn labelled() -> NodeInfo {
        node(json!({"metadata": {"name": "a", "labels": {"zone": "x", "cores": "8"}}}))
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn node_selector_and_required_affinity_must_match() {
        let reason = "node(s) didn't match Pod's node affinity/selector";
        check(&NodeAffinity, &pod(json!({"nodeSelector": {"zone": "x"}})), &labelled(), &[]);
        check(&NodeAffinity, &pod(json!({"nodeSelector": {"zone": "y"}})), &labelled(), &[reason]);
        let required = |zone: &str| {
            let terms = json!({"nodeSelectorTerms": [expression("zone", "In", &[zone])]});
            pod(
                json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}),
            )
        };
        check(&NodeAffinity, &required("x"), &labelled(), &[]);
        check(&NodeAffinity, &required("y"), &labelled(), &[reason]);
    }

    #[test]
    fn preferences_add_up() {
        let preferred = json!([
            {"weight": 30, "preference": expression("zone", "In", &["x"])},
            {"weight": 10, "preference": expression("cores", "Exists", &[])},
        ]);
        let affinity = json!({"preferredDuringSchedulingIgnoredDuringExecution": preferred});
        let pod = pod(json!({"affinity": {"nodeAffinity": affinity}}));
        let other = node(json!({"metadata": {"name": "b", "labels": {"cores": "4"}}}));
        check_scores(&NodeAffinity, &pod, &[labelled(), other], &[100, 25]);
    }
}
