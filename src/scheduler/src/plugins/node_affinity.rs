//! NodeAffinity: node selector, required and preferred node affinity.

use k8s_openapi::api::core::v1::{NodeAffinity as Affinity, NodeSelectorRequirement, NodeSelectorTerm};

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
        let selector = pod.pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
        let selected = selector.into_iter().flatten().all(|(key, value)| label(node, key) == Some(value));
        let required = affinity(pod)
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        let matched = required
            .is_none_or(|required| required.node_selector_terms.iter().any(|term| matches(term, node)));
        match selected && matched {
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
        let met = preferred.into_iter().flatten().filter(|term| matches(&term.preference, node));
        met.map(|term| i64::from(term.weight)).sum()
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize(scores);
    }
}

fn affinity(pod: &PodInfo) -> Option<&Affinity> {
    pod.pod.spec.as_ref()?.affinity.as_ref()?.node_affinity.as_ref()
}

fn label<'a>(node: &'a NodeInfo, key: &str) -> Option<&'a String> {
    node.node.as_ref()?.metadata.labels.as_ref()?.get(key)
}

/// Whether all requirements of a term hold; one without any matches nothing.
fn matches(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let by_label = |one: &NodeSelectorRequirement| holds(one, label(node, &one.key).map(String::as_str));
    let by_field =
        |one: &NodeSelectorRequirement| one.key == "metadata.name" && holds(one, Some(node.name()));
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(by_label)
        && fields.iter().all(by_field)
}

fn holds(requirement: &NodeSelectorRequirement, actual: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || actual.is_some_and(|actual| values.iter().any(|value| value == actual));
    let numbers = || Some((actual?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => actual.is_some(),
        "DoesNotExist" => actual.is_none(),
        "Gt" => numbers().is_some_and(|(actual, wanted)| actual > wanted),
        "Lt" => numbers().is_some_and(|(actual, wanted)| actual < wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::{check, check_scores, node, pod};

    fn labelled() -> NodeInfo {
        node(json!({"metadata": {"name": "a", "labels": {"zone": "x", "cores": "8"}}}))
    }

    fn check_term(term: Value, fits: bool) {
        let required =
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
        let reason = ["node(s) didn't match Pod's node affinity/selector"];
        let expected: &[&str] = if fits { &[] } else { &reason };
        check(&NodeAffinity, &pod(json!({"affinity": {"nodeAffinity": required}})), &labelled(), expected);
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
    }

    #[test]
    fn every_operator_is_understood() {
        check_term(expression("zone", "In", &["x", "y"]), true);
        check_term(expression("zone", "NotIn", &["x"]), false);
        check_term(expression("none", "NotIn", &["x"]), true);
        check_term(expression("zone", "Exists", &[]), true);
        check_term(expression("zone", "DoesNotExist", &[]), false);
        check_term(expression("cores", "Gt", &["7"]), true);
        check_term(expression("cores", "Lt", &["7"]), false);
        check_term(expression("zone", "Gt", &["7"]), false);
        check_term(json!({}), false);
        check_term(
            json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}),
            true,
        );
    }

    #[test]
    fn the_node_selector_must_match_as_well() {
        let reason = "node(s) didn't match Pod's node affinity/selector";
        check(&NodeAffinity, &pod(json!({"nodeSelector": {"zone": "x"}})), &labelled(), &[]);
        check(&NodeAffinity, &pod(json!({"nodeSelector": {"zone": "y"}})), &labelled(), &[reason]);
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
