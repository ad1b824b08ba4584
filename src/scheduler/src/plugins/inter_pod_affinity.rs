//! InterPodAffinity: pods that want to be, or must not be, in one domain with certain other pods.
//!
//! Required rules of the pod and required anti-affinity of pods already placed rule nodes out; see `score` for the rest.
//! Costs nothing where neither the pod nor a placed pod has such rules; else as much as there are pods in the namespaces
//! that the pod's rules name, and pods with rules.

use std::collections::{BTreeMap, HashSet};

use crate::{
    affinity_term::{AffinityTerm, AffinityTerms},
    cluster::Cluster,
    framework::{Event, Filter, PreFilter, Verdict},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

mod score;
#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct InterPodAffinity;

/// Domains by topology key and value.
type Domains<'a> = HashSet<(&'a str, &'a str)>;
type Labels = BTreeMap<String, String>;

impl Filter for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, cluster: &'a Cluster) -> PreFilter<'a> {
        let terms = match &pod.affinity {
            Ok(terms) => terms,
            Err(error) => return PreFilter::Reject(format!("parsing pod: {error}")),
        };
        let closed = closed_by_placed_pods(pod, cluster);
        if closed.is_empty() && terms.required.is_empty() && terms.required_anti.is_empty() {
            return PreFilter::Skip;
        }
        let picture = Picture::new(pod, terms, closed, cluster);
        PreFilter::Judge(Box::new(move |node| picture.judge(node)))
    }

    fn is_helped_by(&self, pod: &PodInfo, event: &Event<'_>, cluster: &Cluster) -> bool {
        let Ok(terms) = &pod.affinity else { return false };
        match event {
            Event::Node { old: None, new } => {
                terms.required.iter().all(|term| new.label(&term.topology_key).is_some())
            }
            Event::Node { old: Some(old), new } => {
                new.node.as_ref().is_none_or(|new| new.metadata.labels != old.metadata.labels)
            }
            // One of those wanted came, or one of those not wanted is no longer one of them.
            Event::Placed { old, new } => {
                let wanted = |other: &PodInfo| matches_all(&terms.required, other, labels_of(other, cluster));
                wanted(new) || old.is_some_and(|old| repels(pod, old, cluster) && !repels(pod, new, cluster))
            }
            Event::Ended(ended) => {
                // The last pod that others have affinity to: now the first of a series may come.
                let wanted = matches_all(&terms.required, ended, labels_of(ended, cluster));
                wanted || repels(pod, ended, cluster)
            }
            Event::NodeGone(_) | Event::Namespace => true,
        }
    }
}

/// What a cycle knows before it looks at the first node.
struct Picture<'a> {
    terms: &'a AffinityTerms,
    /// The domains with a pod that meets all affinity terms.
    wanted: Domains<'a>,
    /// The domains with a pod that an anti-affinity term means.
    unwanted: Domains<'a>,
    /// The domains that a placed pod's anti-affinity closes to the pod.
    closed: Domains<'a>,
    /// Whether no other pod meets the affinity terms but the pod itself does: the first of a series that want to be
    /// together may go anywhere.
    is_first: bool,
}

impl<'a> Picture<'a> {
    fn new(pod: &PodInfo, terms: &'a AffinityTerms, closed: Domains<'a>, cluster: &'a Cluster) -> Self {
        let (mut wanted, mut unwanted) = (Domains::new(), Domains::new());
        let own: Vec<&AffinityTerm> = terms.required.iter().chain(&terms.required_anti).collect();
        for (other, node, labels) in pods_meant(&own, cluster) {
            if matches_all(&terms.required, other, labels) {
                wanted.extend(terms.required.iter().filter_map(|term| domain(term, node)));
            }
            let against = terms.required_anti.iter().filter(|term| term.matches(other, labels));
            unwanted.extend(against.filter_map(|term| domain(term, node)));
        }
        let is_first = wanted.is_empty() && matches_all(&terms.required, pod, labels_of(pod, cluster));
        Self { terms, wanted, unwanted, closed, is_first }
    }

    fn judge(&self, node: &NodeInfo) -> Verdict {
        if !self.has_wanted(node) {
            return Verdict::unresolvable("node(s) didn't match pod affinity rules");
        }
        if self.terms.required_anti.iter().any(|term| is_in(term, node, &self.unwanted)) {
            return Verdict::unschedulable("node(s) didn't match pod anti-affinity rules");
        }
        if is_closed(node, &self.closed) {
            return Verdict::unschedulable("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        Verdict::Fits
    }

    fn has_wanted(&self, node: &NodeInfo) -> bool {
        let terms = &self.terms.required;
        terms.iter().all(|term| node.label(&term.topology_key).is_some())
            && (self.is_first || terms.iter().all(|term| is_in(term, node, &self.wanted)))
    }
}

/// The domains where a placed pod does not want `pod`.
fn closed_by_placed_pods<'a>(pod: &PodInfo, cluster: &'a Cluster) -> Domains<'a> {
    let labels = labels_of(pod, cluster);
    let placed = cluster.pods_with_required_anti_affinity();
    let closed = placed.flat_map(|(other, node)| {
        let terms = other.affinity.iter().flat_map(|terms| &terms.required_anti);
        terms.filter(|term| term.matches(pod, labels)).filter_map(move |term| domain(term, node))
    });
    closed.collect()
}

/// The placed pods in namespaces that one of `terms` covers, each with its node and its namespace's labels.
fn pods_meant<'a>(
    terms: &[&AffinityTerm],
    cluster: &'a Cluster,
) -> impl Iterator<Item = (&'a PodInfo, &'a NodeInfo, Option<&'a Labels>)> {
    let namespaces = cluster.namespaces_with_pods().map(|name| (name, cluster.namespace_labels(name)));
    namespaces
        .filter(|(name, labels)| terms.iter().any(|term| term.covers(name, *labels)))
        .flat_map(|(name, labels)| cluster.pods_in(name).map(move |(pod, node)| (pod, node, labels)))
}

fn matches_all(terms: &[AffinityTerm], pod: &PodInfo, labels: Option<&Labels>) -> bool {
    !terms.is_empty() && terms.iter().all(|term| term.matches(pod, labels))
}

/// Whether one of both does not want to be with the other.
fn repels(pod: &PodInfo, other: &PodInfo, cluster: &Cluster) -> bool {
    let is_against = |one: &PodInfo, two: &PodInfo| {
        let mut terms = one.affinity.iter().flat_map(|terms| &terms.required_anti);
        terms.any(|term| term.matches(two, labels_of(two, cluster)))
    };
    is_against(pod, other) || is_against(other, pod)
}

fn labels_of<'a>(pod: &PodInfo, cluster: &'a Cluster) -> Option<&'a Labels> {
    cluster.namespace_labels(pod.namespace())
}

/// The domain of `node` in the sense of a term.
fn domain<'a>(term: &'a AffinityTerm, node: &'a NodeInfo) -> Option<(&'a str, &'a str)> {
    Some((&term.topology_key, node.label(&term.topology_key)?))
}

fn is_in(term: &AffinityTerm, node: &NodeInfo, domains: &Domains<'_>) -> bool {
    domain(term, node).is_some_and(|domain| domains.contains(&domain))
}

fn is_closed(node: &NodeInfo, closed: &Domains<'_>) -> bool {
    let labels = node.node.as_ref().and_then(|node| node.metadata.labels.as_ref());
    !closed.is_empty()
        && labels.into_iter().flatten().any(|(key, value)| closed.contains(&(key.as_str(), value.as_str())))
}
