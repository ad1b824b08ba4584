//! Labels of nodes that have other names today (upstream: `pkg/api/node/util.go`).

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PodSpec};
use machinery::field::Path;
use machinery::names;

const DEPRECATED: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#),
    ("beta.kubernetes.io/os", r#"deprecated since v1.14; use "kubernetes.io/os" instead"#),
    (
        "failure-domain.beta.kubernetes.io/region",
        r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#,
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#,
    ),
    (
        "beta.kubernetes.io/instance-type",
        r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#,
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", r#"use "node-role.kubernetes.io/control-plane" instead"#),
];

fn deprecation(label: &str) -> Option<&'static str> {
    DEPRECATED.iter().find(|(deprecated, _)| *deprecated == label).map(|(_, message)| *message)
}

/// Warnings about the labels by which a pod chooses its node, and about the topologies over which it is spread.
pub(super) fn of(spec: &PodSpec, path: &Path) -> Vec<String> {
    let selected = spec.node_selector.iter().flatten().filter_map(|(key, _)| {
        deprecation(key).map(|message| format!("{}: {message}", path.child("nodeSelector").key(key)))
    });
    let mut warnings: Vec<String> = selected.collect();
    warnings.extend(affinity(spec, &path.child("affinity.nodeAffinity")));
    for (index, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        let path = path.child("topologySpreadConstraints").index(index);
        let key = constraint.topology_key.as_str();
        warnings.extend(
            deprecation(key).map(|message| format!("{}: {key} is {message}", path.child("topologyKey"))),
        );
        if constraint.label_selector.is_none() {
            let path = path.child("labelSelector");
            warnings.push(format!("{path}: a null labelSelector results in matching no pod"));
        }
    }
    warnings
}

fn affinity(spec: &PodSpec, path: &Path) -> Vec<String> {
    let node = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let Some(node) = node else { return vec![] };
    let required = node.required_during_scheduling_ignored_during_execution.iter();
    let required = required.flat_map(|required| &required.node_selector_terms).enumerate();
    let list = path.child("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    let mut warnings: Vec<String> =
        required.flat_map(|(index, required)| term(required, false, &list.index(index))).collect();
    let preferred = node.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate();
    let list = path.child("preferredDuringSchedulingIgnoredDuringExecution");
    warnings.extend(preferred.flat_map(|(index, preferred)| {
        term(&preferred.preference, true, &list.index(index).child("preference"))
    }));
    warnings
}

/// `checks_values`: whether values that no label can have are told, since they are no errors there.
fn term(term: &NodeSelectorTerm, checks_values: bool, path: &Path) -> Vec<String> {
    let mut warnings = vec![];
    for (index, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let key = requirement.key.as_str();
        warnings.extend(deprecation(key).map(|message| format!("{}: {key} is {message}", path.child("key"))));
        for (index, value) in requirement.values.iter().flatten().enumerate().filter(|_| checks_values) {
            let path = path.child("values").index(index);
            let messages = names::label_value(value).into_iter();
            warnings.extend(messages.map(|message| format!("{path}: {value} is invalid, {message}")));
        }
    }
    warnings
}
