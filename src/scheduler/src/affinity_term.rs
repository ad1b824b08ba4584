//! Terms of inter-pod affinity, read once per pod (upstream `framework.AffinityTerm`).
//!
//! The API server has merged `matchLabelKeys` and `mismatchLabelKeys` into the label selectors when the pod was created.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, WeightedPodAffinityTerm};
use machinery::selector::label::{Error, Selector};

use crate::pod_info::PodInfo;

/// All terms of one pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct AffinityTerms {
    pub(crate) required: Vec<AffinityTerm>,
    pub(crate) required_anti: Vec<AffinityTerm>,
    /// With their weights; those of anti-affinity are negative.
    pub(crate) preferred: Vec<(AffinityTerm, i64)>,
}

impl AffinityTerms {
    /// The terms of `pod`, or what is wrong with one of them.
    pub(crate) fn of(pod: &Pod) -> Result<Self, Error> {
        let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
        let with = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let against = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let mut terms = Self::default();
        if let Some(with) = with {
            terms.required = required(pod, &with.required_during_scheduling_ignored_during_execution)?;
            terms.preferred = preferred(pod, &with.preferred_during_scheduling_ignored_during_execution, 1)?;
        }
        if let Some(against) = against {
            terms.required_anti =
                required(pod, &against.required_during_scheduling_ignored_during_execution)?;
            let preferred =
                preferred(pod, &against.preferred_during_scheduling_ignored_during_execution, -1)?;
            terms.preferred.extend(preferred);
        }
        Ok(terms)
    }

    /// Whether other pods, when their nodes are rated, have to look at these terms.
    pub(crate) fn influence_scores(&self) -> bool {
        !self.required.is_empty() || !self.preferred.is_empty()
    }
}

fn required(pod: &Pod, terms: &Option<Vec<PodAffinityTerm>>) -> Result<Vec<AffinityTerm>, Error> {
    terms.iter().flatten().map(|term| AffinityTerm::new(pod, term)).collect()
}

fn preferred(
    pod: &Pod,
    terms: &Option<Vec<WeightedPodAffinityTerm>>,
    sign: i64,
) -> Result<Vec<(AffinityTerm, i64)>, Error> {
    let weighted = |term: &WeightedPodAffinityTerm| {
        Ok((AffinityTerm::new(pod, &term.pod_affinity_term)?, sign * i64::from(term.weight)))
    };
    terms.iter().flatten().map(weighted).collect()
}

/// One term: which pods are meant, and in which kind of domain.
#[derive(Clone, Debug)]
pub(crate) struct AffinityTerm {
    pub(crate) topology_key: String,
    namespaces: BTreeSet<String>,
    namespace_selector: Selector,
    selector: Selector,
}

impl AffinityTerm {
    fn new(pod: &Pod, term: &PodAffinityTerm) -> Result<Self, Error> {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().flatten().cloned().collect();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.insert(pod.metadata.namespace.clone().unwrap_or_default());
        }
        Ok(Self {
            topology_key: term.topology_key.clone(),
            namespaces,
            namespace_selector: Selector::from_label_selector(term.namespace_selector.as_ref())?,
            selector: Selector::from_label_selector(term.label_selector.as_ref())?,
        })
    }

    /// Whether pods of this namespace can be meant.
    pub(crate) fn covers(&self, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.namespaces.contains(namespace) || self.namespace_selector.matches_map(labels)
    }

    /// Whether `pod`, whose namespace has the labels `namespace_labels`, is meant.
    pub(crate) fn matches(&self, pod: &PodInfo, namespace_labels: Option<&BTreeMap<String, String>>) -> bool {
        self.covers(pod.namespace(), namespace_labels) && self.selector.matches_map(pod.labels())
    }
}
