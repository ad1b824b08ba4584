//! NodePorts: a host port can be had once per node.

use crate::{
    framework::{NodeFilter, Verdict},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct NodePorts;

impl NodeFilter for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        match !pod.ports.is_empty() && node.pods.values().any(|other| conflict(pod, other)) {
            true => {
                let reason = "node(s) didn't have free ports for the requested pod ports";
                Verdict::Unschedulable(vec![reason.to_owned()])
            }
            false => Verdict::Fits,
        }
    }

    fn is_helped_by_end_of(&self, pod: &PodInfo, ended: &PodInfo) -> bool {
        conflict(pod, ended)
    }
}

fn conflict(a: &PodInfo, b: &PodInfo) -> bool {
    a.ports.iter().any(|port| b.ports.iter().any(|other| port.conflicts_with(other)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{node, pod};

    fn with_port(ip: &str, protocol: &str, port: i32) -> PodInfo {
        let ports = json!([{"containerPort": 1, "hostIP": ip, "protocol": protocol, "hostPort": port}]);
        pod(json!({"containers": [{"name": "c", "ports": ports}]}))
    }

    fn check(taken: PodInfo, wanted: PodInfo, fits: bool) {
        let mut node = node(json!({"metadata": {"name": "a"}}));
        node.add(Arc::new(taken));
        assert_eq!(NodePorts.filter(&wanted, &node) == Verdict::Fits, fits);
    }

    #[test]
    fn address_protocol_and_port_decide() {
        check(with_port("", "TCP", 80), with_port("", "TCP", 80), false);
        check(with_port("", "TCP", 80), with_port("10.0.0.1", "TCP", 80), false);
        check(with_port("10.0.0.1", "TCP", 80), with_port("10.0.0.2", "TCP", 80), true);
        check(with_port("", "TCP", 80), with_port("", "UDP", 80), true);
        check(with_port("", "TCP", 80), with_port("", "TCP", 81), true);
        check(with_port("", "TCP", 80), pod(json!({})), true);
    }
}
