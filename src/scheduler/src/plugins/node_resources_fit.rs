//! NodeResourcesFit: what a pod requests must be free; the less of a node is taken, the better (LeastAllocated).

use crate::{
    framework::{MAX_NODE_SCORE, NodeFilter, NodeScore, Verdict},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct NodeResourcesFit;

impl NodeFilter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let mut reasons = Vec::new();
        let mut unresolvable = false;
        let pods = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
        if pods + 1 > node.allocatable.get("pods") {
            reasons.push("Too many pods".to_owned());
        }
        for (name, amount) in pod.requests.iter().filter(|(_, amount)| *amount > 0) {
            let whole = node.allocatable.get(name);
            if i128::from(amount) > i128::from(whole) - node.requested.get(name) {
                reasons.push(format!("Insufficient {name}"));
                unresolvable |= amount > whole;
            }
        }
        match (reasons.is_empty(), unresolvable) {
            (true, _) => Verdict::Fits,
            (false, true) => Verdict::Unresolvable(reasons),
            (false, false) => Verdict::Unschedulable(reasons),
        }
    }

    fn is_helped_by_end_of(&self, _pod: &PodInfo, _ended: &PodInfo) -> bool {
        // Every pod takes at least one of the places that a node has for pods.
        true
    }
}

impl NodeScore for NodeResourcesFit {
    /// The mean share of CPU and memory left over.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let whole = ["cpu", "memory"].map(|name| node.allocatable.get(name));
        let [cpu, memory] = pod.non_zero.map(i128::from);
        let requested = [node.non_zero[0] + cpu, node.non_zero[1] + memory];
        let known = requested.into_iter().zip(whole).filter(|(_, whole)| *whole != 0);
        let shares: Vec<i64> = known.map(|(requested, whole)| left_over(requested, whole.into())).collect();
        shares.iter().sum::<i64>() / i64::try_from(shares.len().max(1)).unwrap_or(1)
    }
}

fn left_over(requested: i128, whole: i128) -> i64 {
    match requested > whole {
        true => 0,
        false => i64::try_from((whole - requested) * i128::from(MAX_NODE_SCORE) / whole).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{check, check_scores, node, pod};

    fn asking(cpu: &str, memory: &str) -> PodInfo {
        let requests = json!({"cpu": cpu, "memory": memory});
        pod(json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
    }

    fn having(cpu: &str, memory: &str, pods: &str) -> NodeInfo {
        let allocatable = json!({"cpu": cpu, "memory": memory, "pods": pods});
        node(json!({"metadata": {"name": "a"}, "status": {"allocatable": allocatable}}))
    }

    #[test]
    fn what_is_missing_is_named() {
        check(&NodeResourcesFit, &asking("1", "1Gi"), &having("1", "1Gi", "1"), &[]);
        check(&NodeResourcesFit, &asking("2", "1Gi"), &having("1", "1Gi", "1"), &["Insufficient cpu"]);
        check(
            &NodeResourcesFit,
            &asking("2", "2Gi"),
            &having("1", "1Gi", "0"),
            &["Too many pods", "Insufficient cpu", "Insufficient memory"],
        );
    }

    #[test]
    fn what_other_pods_leave_counts() {
        let mut node = having("1", "1Gi", "10");
        node.add(Arc::new(asking("600m", "1Mi")));
        let verdict = NodeResourcesFit.filter(&asking("500m", "1Mi"), &node);
        assert_eq!(verdict, Verdict::Unschedulable(vec!["Insufficient cpu".into()]));
        let verdict = NodeResourcesFit.filter(&asking("2", "1Mi"), &node);
        assert_eq!(verdict, Verdict::Unresolvable(vec!["Insufficient cpu".into()]));
    }

    #[test]
    fn nothing_is_left_where_pods_ask_for_more_than_there_can_be() {
        let mut node = having("1", "1Gi", "10");
        node.add(Arc::new(asking("9000000000000000", "9000000000000000000")));
        let huge = asking("9000000000000000", "9000000000000000000");
        let reasons = vec!["Insufficient cpu".into(), "Insufficient memory".into()];
        assert_eq!(NodeResourcesFit.filter(&huge, &node), Verdict::Unresolvable(reasons));
        assert_eq!(NodeResourcesFit.score(&huge, &node), 0);
    }

    #[test]
    fn emptier_nodes_are_better() {
        let nodes = [having("1", "1Gi", "10"), having("2", "4Gi", "10")];
        check_scores(&NodeResourcesFit, &asking("500m", "512Mi"), &nodes, &[50, 81]);
    }
}
