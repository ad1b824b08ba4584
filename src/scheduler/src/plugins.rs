//! The plugins: a file each, listed here in upstream's default order.

use crate::framework::{Filter, Score};

mod dynamic_resources;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod pod_topology_spread;
mod taint_toleration;
mod volume_binding;

/// Every filter; the first that objects to a node ends the examination of that node.
pub(crate) const FILTERS: &[&dyn Filter] = &[
    &node_unschedulable::NodeUnschedulable,
    &node_name::NodeName,
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinity,
    &node_ports::NodePorts,
    &node_resources_fit::NodeResourcesFit,
    &volume_binding::VolumeBinding,
    &pod_topology_spread::PodTopologySpread,
    &inter_pod_affinity::InterPodAffinity,
    &dynamic_resources::DynamicResources,
];

/// Every score.
pub(crate) const SCORES: &[&dyn Score] = &[
    &taint_toleration::TaintToleration,
    &node_affinity::NodeAffinity,
    &node_resources_fit::NodeResourcesFit,
    &pod_topology_spread::PodTopologySpread,
    &inter_pod_affinity::InterPodAffinity,
    &node_resources_balanced_allocation::NodeResourcesBalancedAllocation,
];

/// The filter of that name.
pub(crate) fn filter(name: &str) -> Option<&'static dyn Filter> {
    FILTERS.iter().copied().find(|filter| filter.name() == name)
}

#[cfg(test)]
pub(crate) mod testing {
    //! Pods, nodes and clusters for plugin tests, from a few lines of JSON.

    use std::sync::Arc;

    use serde_json::{Value, json};

    use crate::{
        cluster::Cluster,
        framework::{Filter, PreFilter, Score, Verdict},
        node_info::NodeInfo,
        pod_info::PodInfo,
    };

    pub(crate) fn pod(spec: Value) -> PodInfo {
        named_pod("default", "pod", json!({}), spec)
    }

    /// The UID is the name.
    pub(crate) fn named_pod(namespace: &str, name: &str, labels: Value, spec: Value) -> PodInfo {
        let mut spec = spec;
        spec.as_object_mut().unwrap().entry("containers").or_insert(json!([]));
        let metadata = json!({"namespace": namespace, "name": name, "uid": name, "labels": labels});
        let pod = json!({"metadata": metadata, "spec": spec});
        PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap()))
    }

    pub(crate) fn node(node: Value) -> NodeInfo {
        let mut info = NodeInfo::default();
        info.set_node(Arc::new(serde_json::from_value(node).unwrap()));
        info
    }

    /// Nodes by name and labels.
    pub(crate) fn cluster(nodes: &[(&str, Value)]) -> Cluster {
        let mut cluster = Cluster::default();
        for (name, labels) in nodes {
            let node = json!({"metadata": {"name": name, "labels": labels}});
            cluster.set_node(Arc::new(serde_json::from_value(node).unwrap()));
        }
        cluster
    }

    /// Compares the reasons against the node; none means that it fits.
    pub(crate) fn check(filter: &dyn Filter, pod: &PodInfo, node: &NodeInfo, expected: &[&str]) {
        assert_eq!(reasons(filter.pre_filter(pod, &Cluster::default()), node), expected);
    }

    /// Compares the reasons against each node of the cluster, joined by `; `.
    pub(crate) fn check_cluster(filter: &dyn Filter, pod: &PodInfo, cluster: &Cluster, expected: &[&str]) {
        let reasons =
            cluster.nodes_from(0).map(|node| reasons(filter.pre_filter(pod, cluster), node).join("; "));
        assert_eq!(reasons.collect::<Vec<_>>(), expected);
    }

    fn reasons(pre_filter: PreFilter<'_>, node: &NodeInfo) -> Vec<String> {
        let judge = match pre_filter {
            PreFilter::Skip => return Vec::new(),
            PreFilter::Reject(reason) => return vec![reason],
            PreFilter::Judge(judge) => judge,
        };
        match judge(node) {
            Verdict::Fits => Vec::new(),
            Verdict::Unschedulable(reasons) | Verdict::Unresolvable(reasons) => reasons,
        }
    }

    /// Compares the scores of all nodes.
    pub(crate) fn check_scores(score: &dyn Score, pod: &PodInfo, nodes: &[NodeInfo], expected: &[i64]) {
        let nodes: Vec<&NodeInfo> = nodes.iter().collect();
        assert_eq!(score.scores(pod, &Cluster::default(), &nodes).as_deref(), Some(expected));
    }

    /// Compares the scores of all nodes of the cluster.
    pub(crate) fn check_cluster_scores(
        score: &dyn Score,
        pod: &PodInfo,
        cluster: &Cluster,
        expected: Option<&[i64]>,
    ) {
        let nodes: Vec<&NodeInfo> = cluster.nodes_from(0).collect();
        assert_eq!(score.scores(pod, cluster, &nodes).as_deref(), expected);
    }
}
