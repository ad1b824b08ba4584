//! NodeName: a pod that names its node runs only there.

use crate::{
    framework::{NodeFilter, Verdict},
    node_info::NodeInfo,
    pod_info::PodInfo,
};

#[derive(Debug)]
pub(crate) struct NodeName;

impl NodeFilter for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let wanted = objects::pod::node_name(&pod.pod);
        match wanted.is_empty() || wanted == node.name() {
            true => Verdict::Fits,
            false => Verdict::unresolvable("node(s) didn't match the requested node name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::{check, node, pod};

    #[test]
    fn only_the_named_node_fits() {
        let node = node(json!({"metadata": {"name": "a"}}));
        check(&NodeName, &pod(json!({})), &node, &[]);
        check(&NodeName, &pod(json!({"nodeName": "a"})), &node, &[]);
        let reason = "node(s) didn't match the requested node name";
        check(&NodeName, &pod(json!({"nodeName": "b"})), &node, &[reason]);
    }
}
