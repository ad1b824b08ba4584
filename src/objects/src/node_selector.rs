//! Whether a node is one of those that a pod's node selector and required node affinity name
//! (upstream: component-helpers/scheduling/corev1/nodeaffinity).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

/// What terms ask about a node.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels; none if there are none.
    pub labels: Option<&'a BTreeMap<String, String>>,
}

impl Candidate<'_> {
    /// Whether a pod of that spec may run on the node, as far as its selector and required affinity go.
    pub fn is_wanted_by(&self, spec: &PodSpec) -> bool {
        let mut selector = spec.node_selector.iter().flatten();
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        selector.all(|(key, value)| self.label(key) == Some(value))
            && required
                .is_none_or(|required| required.node_selector_terms.iter().any(|term| self.matches(term)))
    }

    /// Whether all requirements of a term hold; one without any matches nothing.
    pub fn matches(&self, term: &NodeSelectorTerm) -> bool {
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let by_label = |one: &NodeSelectorRequirement| holds(one, self.label(&one.key).map(String::as_str));
        let by_field =
            |one: &NodeSelectorRequirement| one.key == "metadata.name" && holds(one, Some(self.name));
        (!expressions.is_empty() || !fields.is_empty())
            && expressions.iter().all(by_label)
            && fields.iter().all(by_field)
    }

    fn label(&self, key: &str) -> Option<&String> {
        self.labels?.get(key)
    }
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
    use super::*;

    fn check_term(term: &NodeSelectorTerm, expected: bool) {
        let labels = BTreeMap::from([("zone", "x"), ("cores", "8")].map(|(k, v)| (k.into(), v.into())));
        assert_eq!(Candidate { name: "a", labels: Some(&labels) }.matches(term), expected, "{term:?}");
    }

    fn requirement(key: &str, operator: &str, values: &[&str]) -> Option<Vec<NodeSelectorRequirement>> {
        let values = Some(values.iter().map(ToString::to_string).collect());
        Some(vec![NodeSelectorRequirement { key: key.into(), operator: operator.into(), values }])
    }

    #[test]
    fn every_operator_is_understood() {
        for (key, operator, values, expected) in [
            ("zone", "In", &["x", "y"][..], true),
            ("zone", "NotIn", &["x"], false),
            ("none", "NotIn", &["x"], true),
            ("zone", "Exists", &[], true),
            ("zone", "DoesNotExist", &[], false),
            ("cores", "Gt", &["7"], true),
            ("cores", "Lt", &["7"], false),
            ("zone", "Gt", &["7"], false),
        ] {
            let match_expressions = requirement(key, operator, values);
            check_term(&NodeSelectorTerm { match_expressions, match_fields: None }, expected);
        }
        for (name, expected) in [("a", true), ("b", false)] {
            let match_fields = requirement("metadata.name", "In", &[name]);
            check_term(&NodeSelectorTerm { match_expressions: None, match_fields }, expected);
        }
        check_term(&NodeSelectorTerm::default(), false);
    }
}
