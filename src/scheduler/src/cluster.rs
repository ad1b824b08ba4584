//! The nodes and what runs on them: the snapshot that a scheduling cycle works on.
//!
//! The scheduler's task feeds it changes and tells it which pods are about to be bound ("assumed"); it holds one
//! [`NodeInfo`] per node and touches only those that a change concerns.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Node;

use crate::{node_info::NodeInfo, pod_index::PodIndex, pod_info::PodInfo};

#[derive(Debug, Default)]
pub(crate) struct Cluster {
    /// By name.
    nodes: HashMap<String, NodeInfo>,
    /// Names of the nodes that are known themselves, in the order they came: the order in which cycles look at them.
    order: Vec<String>,
    /// Each counted pod and the name of its node, by UID.
    places: HashMap<String, (Arc<PodInfo>, String)>,
    index: PodIndex,
    /// The labels of every known namespace.
    namespaces: HashMap<String, BTreeMap<String, String>>,
}

impl Cluster {
    /// Takes in a new or changed node.
    pub(crate) fn set_node(&mut self, node: Arc<Node>) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let info = self.nodes.entry(name.clone()).or_default();
        if info.node.is_none() {
            self.order.push(name);
        }
        info.set_node(node);
    }

    pub(crate) fn remove_node(&mut self, name: &str) {
        self.order.retain(|known| known != name);
        if let Some(info) = self.nodes.get_mut(name) {
            info.node = None;
            if info.pods.is_empty() {
                self.nodes.remove(name);
            }
        }
    }

    /// Counts `pod` on `node`, be it bound there or assumed to be soon. Returns how it was counted before.
    pub(crate) fn place(&mut self, pod: Arc<PodInfo>, node: &str) -> Option<Arc<PodInfo>> {
        let before = self.remove_pod(pod.uid());
        self.index.add(&pod);
        self.places.insert(pod.uid().to_owned(), (pod.clone(), node.to_owned()));
        self.nodes.entry(node.to_owned()).or_default().add(pod);
        before
    }

    /// Counts the pod of that UID out, if it was in.
    pub(crate) fn remove_pod(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let (pod, node) = self.places.remove(uid)?;
        self.index.remove(&pod);
        if let Some(info) = self.nodes.get_mut(&node) {
            info.remove(uid);
            if info.node.is_none() && info.pods.is_empty() {
                self.nodes.remove(&node);
            }
        }
        Some(pod)
    }

    /// Takes in the labels of a namespace; tells whether that is news.
    pub(crate) fn set_namespace(&mut self, name: &str, labels: BTreeMap<String, String>) -> bool {
        let is_news = self.namespaces.get(name) != Some(&labels);
        if is_news {
            self.namespaces.insert(name.to_owned(), labels);
        }
        is_news
    }

    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    pub(crate) fn namespace_labels(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(name)
    }

    /// Whether the pod of that UID is counted somewhere.
    pub(crate) fn has_pod(&self, uid: &str) -> bool {
        self.places.contains_key(uid)
    }

    /// Number of known nodes.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// The node of that name, if it is known itself.
    pub(crate) fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.get(name).filter(|info| info.node.is_some())
    }

    /// All known nodes, beginning with the one at `start` (modulo their number).
    pub(crate) fn nodes_from(&self, start: usize) -> impl Iterator<Item = &NodeInfo> {
        let start = if self.order.is_empty() { 0 } else { start % self.order.len() };
        let (before, after) = self.order.split_at(start);
        after.iter().chain(before).filter_map(|name| self.nodes.get(name))
    }

    /// Names of the namespaces that have pods on nodes.
    pub(crate) fn namespaces_with_pods(&self) -> impl Iterator<Item = &str> {
        self.index.namespaces()
    }

    /// The pods of a namespace that are on known nodes, each with its node.
    pub(crate) fn pods_in(&self, namespace: &str) -> impl Iterator<Item = (&PodInfo, &NodeInfo)> {
        self.placed(self.index.of_namespace(namespace))
    }

    /// The pods with required anti-affinity that are on known nodes, each with its node.
    pub(crate) fn pods_with_required_anti_affinity(&self) -> impl Iterator<Item = (&PodInfo, &NodeInfo)> {
        self.placed(self.index.with_required_anti_affinity())
    }

    /// The pods whose affinity terms influence scores, on known nodes, each with its node.
    pub(crate) fn pods_that_influence_scores(&self) -> impl Iterator<Item = (&PodInfo, &NodeInfo)> {
        self.placed(self.index.that_influence_scores())
    }

    fn placed<'a>(
        &'a self,
        uids: impl Iterator<Item = &'a str>,
    ) -> impl Iterator<Item = (&'a PodInfo, &'a NodeInfo)> {
        uids.filter_map(|uid| {
            let (pod, node) = self.places.get(uid)?;
            Some((&**pod, self.node(node)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
        apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta},
    };

    use super::*;

    fn pod(uid: &str, cpu: &str) -> Arc<PodInfo> {
        let resources = ResourceRequirements {
            requests: Some([("cpu".into(), Quantity(cpu.into()))].into()),
            ..ResourceRequirements::default()
        };
        let container = Container { resources: Some(resources), ..Container::default() };
        Arc::new(PodInfo::new(Arc::new(Pod {
            metadata: ObjectMeta { uid: Some(uid.into()), ..ObjectMeta::default() },
            spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }),
            status: None,
        })))
    }

    fn node(name: &str) -> Arc<Node> {
        Arc::new(Node {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            ..Node::default()
        })
    }

    fn used(cluster: &Cluster, node: &str) -> i128 {
        cluster.nodes[node].requested.get("cpu")
    }

    #[test]
    fn pods_are_counted_once_wherever_they_are() {
        let mut cluster = Cluster::default();
        cluster.set_node(node("a"));
        cluster.set_node(node("b"));
        cluster.place(pod("1", "100m"), "a");
        cluster.place(pod("1", "100m"), "a");
        cluster.place(pod("2", "200m"), "a");
        assert_eq!((used(&cluster, "a"), used(&cluster, "b")), (300, 0));
        cluster.place(pod("1", "100m"), "b");
        assert_eq!((used(&cluster, "a"), used(&cluster, "b")), (200, 100));
        cluster.remove_pod("2");
        assert_eq!(used(&cluster, "a"), 0);
    }

    #[test]
    fn pods_of_a_node_not_yet_known_count_once_it_is() {
        let mut cluster = Cluster::default();
        cluster.place(pod("1", "100m"), "a");
        assert_eq!(cluster.len(), 0);
        cluster.set_node(node("a"));
        assert_eq!((cluster.len(), used(&cluster, "a")), (1, 100));
        cluster.remove_node("a");
        assert_eq!(cluster.len(), 0);
        cluster.set_node(node("a"));
        assert_eq!(used(&cluster, "a"), 100);
    }

    #[test]
    fn pods_are_found_by_namespace_while_they_and_their_nodes_are_there() {
        let mut cluster = Cluster::default();
        cluster.place(pod("1", "1"), "a");
        assert_eq!(cluster.pods_in("").count(), 0, "the node is not known yet");
        cluster.set_node(node("a"));
        let found: Vec<_> = cluster.pods_in("").map(|(pod, node)| (pod.uid(), node.name())).collect();
        assert_eq!(found, [("1", "a")]);
        assert_eq!(cluster.pods_in("other").count(), 0);
        cluster.remove_pod("1");
        assert_eq!((cluster.pods_in("").count(), cluster.namespaces_with_pods().count()), (0, 0));
    }

    #[test]
    fn every_node_comes_up_wherever_the_search_begins() {
        let mut cluster = Cluster::default();
        for name in ["a", "b", "c"] {
            cluster.set_node(node(name));
        }
        let names: Vec<&str> = cluster.nodes_from(4).map(NodeInfo::name).collect();
        assert_eq!(names, ["b", "c", "a"]);
    }
}
