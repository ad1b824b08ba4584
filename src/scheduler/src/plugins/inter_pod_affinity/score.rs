//! The preferences among pods: those of the pod for placed pods and those of placed pods for it.

use std::collections::{BTreeSet, HashMap};

use super::{InterPodAffinity, domain, labels_of, pods_meant};
use crate::{
    affinity_term::{AffinityTerm, AffinityTerms},
    cluster::Cluster,
    framework::{MAX_NODE_SCORE, Score},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

/// What a placed pod's required affinity for the pod weighs, as if it were preferred.
const HARD_POD_AFFINITY_WEIGHT: i64 = 1;

/// The sum of the weights of the preferences met, by topology key and value.
type Weights<'a> = HashMap<(&'a str, &'a str), i64>;

impl Score for InterPodAffinity {
    fn weight(&self) -> i64 {
        2
    }

    /// The weights of a node's domains, scaled from the lowest to the highest of all nodes.
    fn scores(&self, pod: &PodInfo, cluster: &Cluster, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
        let mut weights = Weights::new();
        if let Ok(terms) = &pod.affinity {
            add_own(terms, cluster, &mut weights);
        }
        add_others(pod, cluster, &mut weights);
        if weights.is_empty() {
            return None;
        }
        let keys: BTreeSet<&str> = weights.keys().map(|(key, _)| *key).collect();
        let weight_of = |node: &&NodeInfo| {
            let domains = keys.iter().filter_map(|key| Some((*key, node.label(key)?)));
            domains.filter_map(|domain| weights.get(&domain)).sum()
        };
        Some(spread_out(nodes.iter().map(weight_of).collect()))
    }
}

/// Adds what the pod would like.
fn add_own<'a>(terms: &'a AffinityTerms, cluster: &'a Cluster, weights: &mut Weights<'a>) {
    let own: Vec<&AffinityTerm> = terms.preferred.iter().map(|(term, _)| term).collect();
    for (other, node, labels) in pods_meant(&own, cluster) {
        for (term, weight) in terms.preferred.iter().filter(|(term, _)| term.matches(other, labels)) {
            add(term, *weight, node, weights);
        }
    }
}

/// Adds what placed pods would like.
fn add_others<'a>(pod: &PodInfo, cluster: &'a Cluster, weights: &mut Weights<'a>) {
    let labels = labels_of(pod, cluster);
    for (other, node) in cluster.pods_that_influence_scores() {
        let Ok(terms) = &other.affinity else { continue };
        let required = terms.required.iter().map(|term| (term, HARD_POD_AFFINITY_WEIGHT));
        let preferred = terms.preferred.iter().map(|(term, weight)| (term, *weight));
        for (term, weight) in required.chain(preferred).filter(|(term, _)| term.matches(pod, labels)) {
            add(term, weight, node, weights);
        }
    }
}

fn add<'a>(term: &'a AffinityTerm, weight: i64, node: &'a NodeInfo, weights: &mut Weights<'a>) {
    if let Some(domain) = domain(term, node) {
        *weights.entry(domain).or_default() += weight;
    }
}

/// Scales so that the lowest becomes 0 and the highest 100; all become 0 where they are equal.
fn spread_out(mut weights: Vec<i64>) -> Vec<i64> {
    let lowest = weights.iter().copied().min().unwrap_or(0);
    let span = weights.iter().copied().max().unwrap_or(0) - lowest;
    for weight in &mut weights {
        *weight = if span > 0 { (*weight - lowest) * MAX_NODE_SCORE / span } else { 0 };
    }
    weights
}
