//! NodeResourcesBalancedAllocation: prefers nodes whose use of CPU and memory the pod brings closer together.

use crate::{
    framework::{MAX_NODE_SCORE, NodeScore},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct NodeResourcesBalancedAllocation;

impl NodeScore for NodeResourcesBalancedAllocation {
    /// Between 50 and 100: around 75 where the balance stays, more where it gets better. Pods without requests have no
    /// influence on it.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64 {
        let own = ["cpu", "memory"].map(|name| i128::from(pod.requests.get(name)));
        if own == [0, 0] {
            return 0;
        }
        let whole = ["cpu", "memory"].map(|name| node.allocatable.get(name));
        let before = ["cpu", "memory"].map(|name| node.requested.get(name));
        let after = [before[0] + own[0], before[1] + own[1]];
        let half = MAX_NODE_SCORE / 2;
        half + (half + balance(after, whole) - balance(before, whole)) / 2
    }
}

/// 100 where the shares in use are equal, less the further they lie apart (by their standard deviation).
fn balance(used: [i128; 2], whole: [i64; 2]) -> i64 {
    let shares: Vec<f64> = (0..2)
        .filter(|place| whole[*place] != 0)
        .map(|place| (used[place] as f64 / whole[place] as f64).min(1.0))
        .collect();
    let deviation = if let [a, b] = shares[..] { ((a - b) / 2.0).abs() } else { 0.0 };
    ((1.0 - deviation) * MAX_NODE_SCORE as f64) as i64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{check_scores, node, pod};

    fn asking(cpu: &str, memory: &str) -> PodInfo {
        let requests = json!({"cpu": cpu, "memory": memory});
        pod(json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
    }

    #[test]
    fn a_pod_goes_where_it_evens_out_use() {
        let allocatable = json!({"cpu": "10", "memory": "10Gi"});
        let empty = node(json!({"metadata": {"name": "a"}, "status": {"allocatable": allocatable}}));
        let mut cpu_heavy = empty.clone();
        cpu_heavy.add(Arc::new(asking("4", "0")));
        let nodes = [empty, cpu_heavy];
        check_scores(&NodeResourcesBalancedAllocation, &asking("0", "4Gi"), &nodes, &[65, 85]);
        check_scores(&NodeResourcesBalancedAllocation, &pod(json!({})), &nodes, &[0, 0]);
    }

    #[test]
    fn pods_that_ask_for_more_than_there_can_be_leave_a_balance() {
        let mut node = node(json!({"status": {"allocatable": {"cpu": "1", "memory": "1Gi"}}}));
        let huge = asking("9000000000000000", "9000000000000000000");
        node.add(Arc::new(huge.clone()));
        assert_eq!(NodeResourcesBalancedAllocation.score(&huge, &node), 75);
    }
}
