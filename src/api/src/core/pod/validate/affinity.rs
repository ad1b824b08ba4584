//! Affinity to nodes and to other pods (upstream: `validateAffinity`).

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    PodSpec, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use super::Allowed;
use crate::checks;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn validate(affinity: &Affinity, allowed: &Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(node) = &affinity.node_affinity {
        errors.extend(validate_node_affinity(node, allowed, &path.child("nodeAffinity")));
    }
    if let Some(pods) = &affinity.pod_affinity {
        errors.extend(validate_pod_terms(
            pods.required_during_scheduling_ignored_during_execution.as_deref(),
            pods.preferred_during_scheduling_ignored_during_execution.as_deref(),
            allowed,
            &path.child("podAffinity"),
        ));
    }
    if let Some(pods) = &affinity.pod_anti_affinity {
        errors.extend(validate_pod_terms(
            pods.required_during_scheduling_ignored_during_execution.as_deref(),
            pods.preferred_during_scheduling_ignored_during_execution.as_deref(),
            allowed,
            &path.child("podAntiAffinity"),
        ));
    }
    errors
}

fn validate_node_affinity(affinity: &NodeAffinity, allowed: &Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(required) = &affinity.required_during_scheduling_ignored_during_execution {
        errors.extend(validate_node_selector(required, !allowed.node_values, &path.child(REQUIRED)));
    }
    let path = path.child(PREFERRED);
    let preferred = affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten();
    for (index, term) in preferred.enumerate() {
        let path = path.index(index);
        errors.extend(validate_weight(term.weight, &path));
        errors.extend(validate_node_term(&term.preference, false, &path.child("preference")));
    }
    errors
}

/// Errors of a choice of nodes; `strict`: whether values must be usable as label values.
pub(crate) fn validate_node_selector(selector: &NodeSelector, strict: bool, path: &Path) -> ErrorList {
    let path = path.child("nodeSelectorTerms");
    let mut errors = ErrorList::new();
    if selector.node_selector_terms.is_empty() {
        errors.push(Error::required(&path, "must have at least one node selector term"));
    }
    for (index, term) in selector.node_selector_terms.iter().enumerate() {
        errors.extend(validate_node_term(term, strict, &path.index(index)));
    }
    errors
}

fn validate_weight(weight: i32, path: &Path) -> Option<Error> {
    let path = path.child("weight");
    (!(1..=100).contains(&weight)).then(|| Error::invalid(&path, weight, "must be in the range 1-100"))
}

/// `strict`: whether values must be usable as label values.
fn validate_node_term(term: &NodeSelectorTerm, strict: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let path = path.child("matchExpressions").index(index);
        errors.extend(validate_label_requirement(requirement, strict, &path));
    }
    for (index, requirement) in term.match_fields.iter().flatten().enumerate() {
        errors.extend(validate_field_requirement(requirement, &path.child("matchFields").index(index)));
    }
    errors
}

fn validate_label_requirement(requirement: &NodeSelectorRequirement, strict: bool, path: &Path) -> ErrorList {
    let values = requirement.values.as_deref().unwrap_or_default();
    let values_path = path.child("values");
    let mut errors = ErrorList::new();
    match (requirement.operator.as_str(), values.len()) {
        ("In" | "NotIn", 0) => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&values_path, detail));
        }
        ("Exists" | "DoesNotExist", 1..) => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&values_path, detail));
        }
        ("Gt" | "Lt", count) if count != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(Error::required(&values_path, detail));
        }
        ("In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt", _) => {}
        (other, _) => {
            errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator"));
        }
    }
    errors.extend(checks::label_key(&requirement.key, &path.child("key")));
    for (index, value) in values.iter().enumerate().filter(|_| strict) {
        errors.extend(checks::each(&values_path.index(index), value.as_str(), names::label_value(value)));
    }
    errors
}

/// Of a node's fields only the name can be chosen by.
fn validate_field_requirement(requirement: &NodeSelectorRequirement, path: &Path) -> ErrorList {
    let values = requirement.values.as_deref().unwrap_or_default();
    let mut errors = ErrorList::new();
    match requirement.operator.as_str() {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(Error::required(&path.child("values"), detail));
        }
        other => {
            errors.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator"));
        }
    }
    if requirement.key != "metadata.name" {
        let detail = "not a valid field selector key";
        errors.push(Error::invalid(&path.child("key"), requirement.key.as_str(), detail));
        return errors;
    }
    for (index, value) in values.iter().enumerate() {
        errors.extend(checks::reference(value, &path.child("values").index(index)));
    }
    errors
}

fn validate_pod_terms(
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
    allowed: &Allowed,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, term) in required.unwrap_or_default().iter().enumerate() {
        errors.extend(validate_pod_term(term, allowed, &path.child(REQUIRED).index(index)));
    }
    for (index, weighted) in preferred.unwrap_or_default().iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        errors.extend(validate_weight(weighted.weight, &path));
        let path = path.child("podAffinityTerm");
        errors.extend(validate_pod_term(&weighted.pod_affinity_term, allowed, &path));
    }
    errors
}

/// Errors of a term's selectors.
fn validate_selectors(term: &PodAffinityTerm, path: &Path) -> ErrorList {
    let mut errors = checks::label_selector(term.label_selector.as_ref(), &path.child("labelSelector"));
    let namespaces = path.child("namespaceSelector");
    errors.extend(checks::label_selector(term.namespace_selector.as_ref(), &namespaces));
    errors
}

/// Whether a term's selectors are such as servers take today.
pub(super) fn has_valid_selectors(term: &PodAffinityTerm) -> bool {
    validate_selectors(term, &Path::root()).is_empty()
}

/// Whether required node affinity has a value that no label can have.
pub(super) fn has_invalid_node_values(spec: &PodSpec) -> bool {
    let node = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = node.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.iter().flat_map(|required| &required.node_selector_terms);
    let requirements = terms.flat_map(|term| term.match_expressions.iter().flatten());
    requirements
        .flat_map(|requirement| requirement.values.iter().flatten())
        .any(|value| !names::label_value(value).is_empty())
}

fn validate_pod_term(term: &PodAffinityTerm, allowed: &Allowed, path: &Path) -> ErrorList {
    let mut errors = validate_selectors(term, path);
    if allowed.selector_values {
        errors.retain(|error| !error.path.to_string().contains(".values["));
    }
    for name in term.namespaces.iter().flatten() {
        errors.extend(checks::dns_label(name, &path.child("namespace")));
    }
    let (keys, others) = (term.match_label_keys.as_deref(), term.mismatch_label_keys.as_deref());
    errors.extend(validate_label_keys(keys, others, term.label_selector.as_ref(), path));
    let topology = path.child("topologyKey");
    if term.topology_key.is_empty() {
        errors.push(Error::required(&topology, "can not be empty"));
    }
    errors.extend(checks::label_key(&term.topology_key, &topology));
    errors
}

/// Keys whose values the pod itself has. They are merged into the selector, which must not say the same twice.
pub(super) fn validate_label_keys(
    keys: Option<&[String]>,
    others: Option<&[String]>,
    selector: Option<&LabelSelector>,
    path: &Path,
) -> ErrorList {
    let (keys, others) = (keys.unwrap_or_default(), others.unwrap_or_default());
    let mut errors = each_label_key(keys, selector, &path.child("matchLabelKeys"));
    errors.extend(each_label_key(others, selector, &path.child("mismatchLabelKeys")));
    errors.extend(selector.into_iter().flat_map(|selector| repeated_keys(keys, selector, path)));
    for (index, key) in keys.iter().enumerate().filter(|(_, key)| others.contains(key)) {
        let path = path.child("matchLabelKeys").index(index);
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(Error::invalid(&path, key.as_str(), detail));
    }
    errors
}

fn each_label_key(keys: &[String], selector: Option<&LabelSelector>, path: &Path) -> ErrorList {
    if !keys.is_empty() && selector.is_none() {
        return vec![Error::forbidden(path, "must not be specified when labelSelector is not set")];
    }
    keys.iter().enumerate().flat_map(|(index, key)| checks::label_key(key, &path.index(index))).collect()
}

/// Keys of spread constraints before they were merged into the selector: none of them may stand in it at all.
pub(super) fn validate_unmerged_keys(
    keys: Option<&[String]>,
    selector: Option<&LabelSelector>,
    path: &Path,
) -> ErrorList {
    let keys = keys.unwrap_or_default();
    let mut errors = ErrorList::new();
    if selector.is_none() && !keys.is_empty() {
        errors.push(Error::forbidden(path, "must not be specified when labelSelector is not set"));
    }
    let labels = selector.iter().flat_map(|selector| selector.match_labels.iter().flatten());
    let expressions = selector.iter().flat_map(|selector| selector.match_expressions.iter().flatten());
    let selected: Vec<&String> =
        labels.map(|(key, _)| key).chain(expressions.map(|requirement| &requirement.key)).collect();
    for (index, key) in keys.iter().enumerate() {
        let path = path.index(index);
        errors.extend(checks::label_key(key, &path));
        if selected.contains(&key) {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(Error::invalid(&path, key.as_str(), detail));
        }
    }
    errors
}

/// A key of the list that the selector names before the expression that merging added.
fn repeated_keys(keys: &[String], selector: &LabelSelector, path: &Path) -> ErrorList {
    let labels = selector.match_labels.iter().flatten().map(|(key, _)| key);
    let mut seen: Vec<&String> = labels.collect();
    let mut errors = ErrorList::new();
    for key in selector.match_expressions.iter().flatten().map(|requirement| &requirement.key) {
        let index = keys.iter().rposition(|other| other == key);
        if let Some(index) = index.filter(|_| seen.contains(&key)) {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(Error::invalid(&path.index(index), key.as_str(), detail));
        }
        seen.push(key);
    }
    errors
}
