//! PodTopologySpread: keeps alike pods evenly spread over domains.
//!
//! `DoNotSchedule` rules nodes out; see `score` for `ScheduleAnyway`. Costs nothing for a pod without constraints; else as
//! much as there are nodes, and pods in the pod's namespace. A pod without constraints gets none by default.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::Node;

use super::{node_affinity::NodeAffinity, taint_toleration::TaintToleration};
use crate::{
    cluster::Cluster,
    framework::{Event, Filter, NodeFilter, PreFilter, Verdict},
    node_info::NodeInfo,
    pod_info::PodInfo,
    spread_constraint::SpreadConstraint,
};

mod score;
#[cfg(test)]
mod tests;

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const REASON_NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

#[derive(Debug)]
pub(crate) struct PodTopologySpread;

impl Filter for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, cluster: &'a Cluster) -> PreFilter<'a> {
        let constraints = match &pod.spread {
            Ok(constraints) => &constraints.hard,
            Err(error) => return PreFilter::Reject(format!("parsing pod: {error}")),
        };
        if constraints.is_empty() {
            return PreFilter::Skip;
        }
        let spreads = spreads(pod, constraints, cluster);
        PreFilter::Judge(Box::new(move |node| judge(&spreads, node)))
    }

    fn is_helped_by(&self, pod: &PodInfo, event: &Event<'_>, _cluster: &Cluster) -> bool {
        let Ok(constraints) = pod.spread.as_ref().map(|constraints| constraints.hard.as_slice()) else {
            return false;
        };
        // Whether a pod counts; more pods help as well: where they raise the lowest count.
        let counts = |other: &PodInfo, constraint: &SpreadConstraint| {
            other.namespace() == pod.namespace() && constraint.counts(other)
        };
        match event {
            Event::Node { old, new } => {
                let was_there = old.is_some_and(|old| has_all_keys(old, constraints));
                was_there || new.node.as_ref().is_some_and(|new| has_all_keys(new, constraints))
            }
            Event::NodeGone(gone) => has_all_keys(gone, constraints),
            Event::Placed { old, new } => constraints
                .iter()
                .any(|constraint| old.is_some_and(|old| counts(old, constraint)) != counts(new, constraint)),
            Event::Ended(ended) => {
                constraints.iter().any(|constraint| {
                    // It may have been about to end for long; then it did not count, but nobody is hurt by a look.
                    ended.namespace() == pod.namespace() && constraint.selects(ended.labels())
                })
            }
            Event::Namespace => false,
        }
    }
}

/// One constraint with how many pods each domain has.
struct Spread<'a> {
    constraint: &'a SpreadConstraint,
    counts: HashMap<&'a str, i64>,
    /// The lowest count of all domains; 0 where there are too few domains.
    lowest: i64,
    /// 1 where the pod itself counts, once placed.
    own: i64,
}

fn spreads<'a>(pod: &PodInfo, constraints: &'a [SpreadConstraint], cluster: &'a Cluster) -> Vec<Spread<'a>> {
    let mut counts: Vec<HashMap<&str, i64>> = vec![HashMap::new(); constraints.len()];
    for node in cluster.nodes_from(0).filter(|node| domains(node, constraints).is_some()) {
        for (constraint, counts) in constraints.iter().zip(&mut counts) {
            if is_eligible(pod, constraint, node) {
                counts.entry(node.label(&constraint.topology_key).unwrap_or_default()).or_default();
            }
        }
    }
    count_pods(pod, constraints, cluster, &mut counts);
    let spread = |(constraint, counts): (&'a SpreadConstraint, HashMap<&'a str, i64>)| {
        let lowest = counts.values().copied().min().filter(|_| counts.len() >= constraint.min_domains);
        let own = i64::from(constraint.selects(pod.labels()));
        Spread { constraint, counts, lowest: lowest.unwrap_or(0), own }
    };
    constraints.iter().zip(counts).map(spread).collect()
}

/// Adds the placed pods to those domains that are in `counts`.
fn count_pods(
    pod: &PodInfo,
    constraints: &[SpreadConstraint],
    cluster: &Cluster,
    counts: &mut [HashMap<&str, i64>],
) {
    for (other, node) in cluster.pods_in(pod.namespace()) {
        let Some(domains) = domains(node, constraints) else { continue };
        for ((constraint, domain), counts) in constraints.iter().zip(domains).zip(&mut *counts) {
            if let Some(count) = counts.get_mut(domain)
                && constraint.counts(other)
                && is_eligible(pod, constraint, node)
            {
                *count += 1;
            }
        }
    }
}

fn judge(spreads: &[Spread<'_>], node: &NodeInfo) -> Verdict {
    for spread in spreads {
        let Some(domain) = node.label(&spread.constraint.topology_key) else {
            return Verdict::unresolvable(REASON_NO_LABEL);
        };
        let there = spread.counts.get(domain).copied().unwrap_or(0);
        if there + spread.own - spread.lowest > spread.constraint.max_skew {
            return Verdict::unschedulable(REASON);
        }
    }
    Verdict::Fits
}

/// The node's domain for each constraint; nothing where the node lacks one of the keys: such a node never counts.
fn domains<'a>(node: &'a NodeInfo, constraints: &[SpreadConstraint]) -> Option<Vec<&'a str>> {
    constraints.iter().map(|constraint| node.label(&constraint.topology_key)).collect()
}

fn has_all_keys(node: &Node, constraints: &[SpreadConstraint]) -> bool {
    let labels = node.metadata.labels.as_ref();
    constraints.iter().all(|one| labels.is_some_and(|labels| labels.contains_key(&one.topology_key)))
}

/// Whether the constraint looks at `node` at all (its node inclusion policies).
fn is_eligible(pod: &PodInfo, constraint: &SpreadConstraint, node: &NodeInfo) -> bool {
    (!constraint.honors_affinity || NodeAffinity.filter(pod, node) == Verdict::Fits)
        && (!constraint.honors_taints || TaintToleration.filter(pod, node) == Verdict::Fits)
}
