//! The soft constraints: the fewer alike pods a node's domains have, the better.

use std::collections::HashMap;

use super::{PodTopologySpread, count_pods, domains};
use crate::{
    cluster::Cluster,
    framework::{MAX_NODE_SCORE, Score},
    node_info::NodeInfo,
    pod_info::PodInfo,
    spread_constraint::SpreadConstraint,
};

impl Score for PodTopologySpread {
    fn weight(&self) -> i64 {
        2
    }

    /// Nodes that lack a topology key get 0.
    fn scores(&self, pod: &PodInfo, cluster: &Cluster, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
        let constraints =
            pod.spread.as_ref().map(|constraints| constraints.soft.as_slice()).unwrap_or_default();
        if constraints.is_empty() {
            return None;
        }
        let mut counts: Vec<HashMap<&str, i64>> = vec![HashMap::new(); constraints.len()];
        for domains in nodes.iter().filter_map(|node| domains(node, constraints)) {
            for (domain, counts) in domains.into_iter().zip(&mut counts) {
                counts.insert(domain, 0);
            }
        }
        count_pods(pod, constraints, cluster, &mut counts);
        let costs = nodes.iter().map(|node| Some(cost(&domains(node, constraints)?, constraints, &counts)));
        Some(normalized(costs.collect()))
    }
}

/// How crowded the domains are, all constraints together. The more domains a constraint has, the fewer pods each of them
/// has: the logarithm makes up for that.
fn cost(domains: &[&str], constraints: &[SpreadConstraint], counts: &[HashMap<&str, i64>]) -> i64 {
    let single = |((domain, constraint), counts): ((&&str, &SpreadConstraint), &HashMap<&str, i64>)| {
        let count = counts.get(domain).copied().unwrap_or(0);
        count as f64 * ((counts.len() + 2) as f64).ln() + (constraint.max_skew - 1) as f64
    };
    domains.iter().zip(constraints).zip(counts).map(single).sum::<f64>().round() as i64
}

/// The lowest cost becomes 100; what has no cost is no candidate and becomes 0.
fn normalized(costs: Vec<Option<i64>>) -> Vec<i64> {
    let highest = costs.iter().flatten().copied().max().unwrap_or(0);
    let lowest = costs.iter().flatten().copied().min().unwrap_or(0);
    let score = |cost: Option<i64>| match cost {
        None => 0,
        Some(_) if highest == 0 => MAX_NODE_SCORE,
        Some(cost) => MAX_NODE_SCORE * (highest + lowest - cost) / highest,
    };
    costs.into_iter().map(score).collect()
}
