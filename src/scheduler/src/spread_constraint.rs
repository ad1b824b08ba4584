//! Topology spread constraints, read once per pod.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Pod, TopologySpreadConstraint},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement},
};
use machinery::selector::label::{Error, Selector};

use crate::pod_info::PodInfo;

/// The constraints of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpreadConstraints {
    /// `DoNotSchedule`.
    pub(crate) hard: Vec<SpreadConstraint>,
    /// `ScheduleAnyway`.
    pub(crate) soft: Vec<SpreadConstraint>,
}

impl SpreadConstraints {
    /// The constraints of `pod`, or what is wrong with one of them.
    pub(crate) fn of(pod: &Pod) -> Result<Self, Error> {
        let constraints = pod.spec.as_ref().and_then(|spec| spec.topology_spread_constraints.as_deref());
        let mut all = Self::default();
        for constraint in constraints.unwrap_or_default() {
            let is_soft = constraint.when_unsatisfiable == "ScheduleAnyway";
            let list = if is_soft { &mut all.soft } else { &mut all.hard };
            list.push(SpreadConstraint::new(pod, constraint)?);
        }
        Ok(all)
    }
}

/// One constraint, with upstream's defaults for what is not said.
#[derive(Clone, Debug)]
pub(crate) struct SpreadConstraint {
    pub(crate) topology_key: String,
    pub(crate) max_skew: i64,
    pub(crate) min_domains: usize,
    /// Whether only nodes count that the pod's node selector and affinity allow.
    pub(crate) honors_affinity: bool,
    /// Whether only nodes count whose taints the pod tolerates.
    pub(crate) honors_taints: bool,
    selector: Selector,
}

impl SpreadConstraint {
    fn new(pod: &Pod, constraint: &TopologySpreadConstraint) -> Result<Self, Error> {
        let honors = |policy: &Option<String>, default| policy.as_deref().unwrap_or(default) == "Honor";
        let min_domains = constraint.min_domains.and_then(|count| usize::try_from(count).ok());
        Ok(Self {
            topology_key: constraint.topology_key.clone(),
            max_skew: i64::from(constraint.max_skew),
            min_domains: min_domains.unwrap_or(1),
            honors_affinity: honors(&constraint.node_affinity_policy, "Honor"),
            honors_taints: honors(&constraint.node_taints_policy, "Ignore"),
            selector: Selector::from_label_selector(selector(pod, constraint).as_ref())?,
        })
    }

    /// Whether a pod with these labels, in the namespace of the constraint's pod, is one of those to spread.
    pub(crate) fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.selector.matches_map(labels)
    }

    /// Whether `pod`, in the same namespace, counts: pods that are about to end do not, and an empty selector counts
    /// nobody.
    pub(crate) fn counts(&self, pod: &PodInfo) -> bool {
        !self.selector.is_empty() && !pod.is_terminating() && self.selects(pod.labels())
    }
}

/// The constraint's selector together with the labels that `matchLabelKeys` names. The API server merges them for new
/// pods; doing it again changes nothing.
fn selector(pod: &Pod, constraint: &TopologySpreadConstraint) -> Option<LabelSelector> {
    let mut selector = constraint.label_selector.clone()?;
    let requirement = |key: &String| {
        let values = Some(vec![pod.metadata.labels.as_ref()?.get(key)?.clone()]);
        Some(LabelSelectorRequirement { key: key.clone(), operator: "In".into(), values })
    };
    let merged = constraint.match_label_keys.iter().flatten().filter_map(requirement);
    selector.match_expressions.get_or_insert_default().extend(merged);
    Some(selector)
}
