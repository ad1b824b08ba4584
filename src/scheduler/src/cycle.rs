//! One scheduling cycle: from a pod and the cluster to a node, or to why there is none.
//!
//! Pure but for `choose`, which picks among equals. Every cycle begins its search where the last one ended, and stops it
//! once enough feasible nodes are found, so that in large clusters the cost of a cycle does not grow with every node.

use crate::{
    cluster::Cluster,
    diagnosis::Diagnosis,
    framework::{PreFilter, Verdict},
    node_info::NodeInfo,
    plugins::{FILTERS, SCORES},
    pod_info::PodInfo,
};

/// At least so many feasible nodes are looked for, where there are as many.
const MIN_FEASIBLE: usize = 100;
/// At least this share of the nodes is looked for, in percent.
const MIN_FEASIBLE_PERCENT: usize = 5;

/// The name of the best node for `pod`. `start` is where the search begins and is moved on; `choose(n)` names one of
/// `0..n`.
pub(crate) fn schedule(
    cluster: &Cluster,
    pod: &PodInfo,
    start: &mut usize,
    mut choose: impl FnMut(usize) -> usize,
) -> Result<String, Diagnosis> {
    let feasible = feasible(cluster, pod, start)?;
    let totals = totals(cluster, pod, &feasible);
    let best = totals.iter().copied().max().unwrap_or(0);
    let winners: Vec<&NodeInfo> =
        feasible.iter().zip(&totals).filter(|(_, total)| **total == best).map(|(node, _)| *node).collect();
    Ok(winners[choose(winners.len())].name().to_owned())
}

/// The nodes that pass all filters, at least one.
fn feasible<'a>(
    cluster: &'a Cluster,
    pod: &PodInfo,
    start: &mut usize,
) -> Result<Vec<&'a NodeInfo>, Diagnosis> {
    let judges = judges(cluster, pod)?;
    let wanted = feasible_wanted(cluster.len());
    let (mut feasible, mut diagnosis, mut examined) = (Vec::new(), Diagnosis::default(), 0);
    for node in cluster.nodes_from(*start) {
        examined += 1;
        match objection(&judges, node) {
            None => feasible.push(node),
            Some((filter, verdict)) => diagnosis.reject(filter, verdict, pod, node),
        }
        if feasible.len() == wanted {
            break;
        }
    }
    *start = (*start + examined) % cluster.len().max(1);
    if feasible.is_empty() { Err(diagnosis) } else { Ok(feasible) }
}

/// How one filter, named, judges nodes in this cycle.
type Judge<'a> = (&'static str, Box<dyn Fn(&NodeInfo) -> Verdict + 'a>);

/// Those filters that have something to say about `pod`.
fn judges<'a>(cluster: &'a Cluster, pod: &'a PodInfo) -> Result<Vec<Judge<'a>>, Diagnosis> {
    let mut judges = Vec::with_capacity(FILTERS.len());
    for filter in FILTERS {
        match filter.pre_filter(pod, cluster) {
            PreFilter::Skip => {}
            PreFilter::Reject(reason) => return Err(Diagnosis::of_all(filter.name(), reason, cluster.len())),
            PreFilter::Judge(judge) => judges.push((filter.name(), judge)),
        }
    }
    Ok(judges)
}

/// The first filter that objects, and what it says.
fn objection(judges: &[Judge<'_>], node: &NodeInfo) -> Option<(&'static str, Verdict)> {
    judges.iter().find_map(|(name, judge)| match judge(node) {
        Verdict::Fits => None,
        verdict => Some((*name, verdict)),
    })
}

/// How many feasible nodes end the search: all of up to 100, then a share that falls with their number.
fn feasible_wanted(nodes: usize) -> usize {
    if nodes < MIN_FEASIBLE {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(MIN_FEASIBLE_PERCENT);
    (nodes * percent / 100).max(MIN_FEASIBLE)
}

/// The weighted sum of all scores, per node. A single node needs none.
fn totals(cluster: &Cluster, pod: &PodInfo, nodes: &[&NodeInfo]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    if nodes.len() == 1 {
        return totals;
    }
    for plugin in SCORES {
        let scores = plugin.scores(pod, cluster, nodes);
        for (total, score) in totals.iter_mut().zip(scores.into_iter().flatten()) {
            *total += score * plugin.weight();
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::plugins::testing::pod;

    fn cluster(nodes: &[(&str, &str, Value)]) -> Cluster {
        let mut cluster = Cluster::default();
        for (name, cpu, spec) in nodes {
            let allocatable = json!({"cpu": cpu, "memory": "1Gi", "pods": "10"});
            let node =
                json!({"metadata": {"name": name}, "spec": spec, "status": {"allocatable": allocatable}});
            cluster.set_node(Arc::new(serde_json::from_value(node).unwrap()));
        }
        cluster
    }

    fn check(nodes: &[(&str, &str, Value)], pod: &PodInfo, expected: &str) {
        let outcome = schedule(&cluster(nodes), pod, &mut 0, |count| count - 1);
        assert_eq!(outcome.unwrap_or_else(|diagnosis| diagnosis.message(pod)), expected);
    }

    fn asking(cpu: &str) -> PodInfo {
        pod(json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}))
    }

    #[test]
    fn the_emptiest_feasible_node_wins_and_chance_decides_among_equals() {
        let cordoned = json!({"unschedulable": true});
        check(&[("a", "2", json!({})), ("b", "4", json!({})), ("c", "8", cordoned)], &asking("1"), "b");
        check(&[("a", "2", json!({})), ("b", "2", json!({}))], &asking("1"), "b");
    }

    #[test]
    fn reasons_are_counted_as_upstream_does() {
        check(&[], &asking("1"), "no nodes available to schedule pods");
        check(
            &[("a", "1", json!({}))],
            &asking("2"),
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
             available: 1 Preemption is not helpful for scheduling.",
        );
        check(
            &[("a", "1", json!({})), ("b", "1", json!({})), ("c", "4", json!({"unschedulable": true}))],
            &asking("2"),
            "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate, \
             preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
        );
    }

    #[test]
    fn what_no_node_can_change_is_said_once() {
        let claim = pod(json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}));
        check(
            &[("a", "1", json!({})), ("b", "1", json!({}))],
            &claim,
            "0/2 nodes are available: persistentvolumeclaim \"c\" not found. no new claims to deallocate, preemption: \
             0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
        );
    }

    #[test]
    fn a_full_node_has_no_victims_of_equal_priority() {
        let mut cluster = cluster(&[("a", "1", json!({}))]);
        cluster.place(Arc::new(asking("1")), "a");
        let wanted = asking("500m");
        let message = schedule(&cluster, &wanted, &mut 0, |_| 0).unwrap_err().message(&wanted);
        assert_eq!(
            message,
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are \
             available: 1 No preemption victims found for incoming pod."
        );
    }

    #[test]
    fn the_search_ends_when_enough_nodes_are_found_and_goes_on_from_there() {
        let names: Vec<String> = (0..300).map(|number| format!("n{number}")).collect();
        let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), "2", json!({}))).collect();
        let (cluster, mut start) = (cluster(&nodes), 0);
        assert_eq!(feasible_wanted(300), 144);
        schedule(&cluster, &asking("1"), &mut start, |_| 0).unwrap();
        assert_eq!(start, 144);
        schedule(&cluster, &asking("1"), &mut start, |_| 0).unwrap();
        schedule(&cluster, &asking("1"), &mut start, |_| 0).unwrap();
        assert_eq!(start, 132);
    }
}
