//! A node with the sum of what runs on it.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::Node;
use objects::resources::Amounts;

use crate::pod_info::PodInfo;

/// Sums of what pods request, by resource. Wider than what one pod can request, so that a sum never overflows and what
/// was added can be taken off again, whatever else came and went meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requested(HashMap<String, i128>);

impl Requested {
    /// The sum for one resource, 0 where nothing requests it.
    pub(crate) fn get(&self, name: &str) -> i128 {
        self.0.get(name).copied().unwrap_or(0)
    }

    fn add(&mut self, amounts: &Amounts) {
        for (name, amount) in amounts.iter() {
            *self.entry(name) += i128::from(amount);
        }
    }

    fn subtract(&mut self, amounts: &Amounts) {
        for (name, amount) in amounts.iter() {
            *self.entry(name) -= i128::from(amount);
        }
    }

    fn entry(&mut self, name: &str) -> &mut i128 {
        self.0.entry(name.to_owned()).or_insert(0)
    }
}

/// A node as the scheduler sees it: kept up to date pod by pod, never summed anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeInfo {
    /// Absent while pods are known to run on a node that is not (or no longer) known itself.
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) allocatable: Amounts,
    pub(crate) requested: Requested,
    pub(crate) non_zero: [i128; 2],
    /// By UID; bound ones and those about to be.
    pub(crate) pods: HashMap<String, Arc<PodInfo>>,
}

impl NodeInfo {
    pub(crate) fn name(&self) -> &str {
        self.node.as_ref().and_then(|node| node.metadata.name.as_deref()).unwrap_or_default()
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.node.as_ref()?.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    pub(crate) fn set_node(&mut self, node: Arc<Node>) {
        let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
        self.allocatable = allocatable.map(Amounts::of).unwrap_or_default();
        self.node = Some(node);
    }

    /// Counts a pod in, or again if it changed.
    pub(crate) fn add(&mut self, pod: Arc<PodInfo>) {
        self.remove(pod.uid());
        self.requested.add(&pod.requests);
        for (sum, own) in self.non_zero.iter_mut().zip(pod.non_zero) {
            *sum += i128::from(own);
        }
        self.pods.insert(pod.uid().to_owned(), pod);
    }

    /// Counts a pod out.
    pub(crate) fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.subtract(&pod.requests);
        for (sum, own) in self.non_zero.iter_mut().zip(pod.non_zero) {
            *sum -= i128::from(own);
        }
        Some(pod)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::testing::named_pod;

    fn asking(name: &str, amount: &str) -> Arc<PodInfo> {
        let resources = json!({"requests": {"cpu": amount, "memory": amount}});
        let spec = json!({"containers": [{"name": "c", "resources": resources}]});
        Arc::new(named_pod("default", name, json!({}), spec))
    }

    #[test]
    fn sums_are_what_they_were_after_a_pod_that_asks_for_more_than_there_can_be() {
        let mut node = NodeInfo::default();
        node.add(asking("small", "2"));
        let before = (node.requested.get("cpu"), node.requested.get("memory"), node.non_zero);
        for uid in ["huge", "huger"] {
            node.add(asking(uid, "9000000000000000000"));
        }
        assert!(node.requested.get("memory") > i128::from(i64::MAX));
        for uid in ["huge", "huger"] {
            node.remove(uid);
        }
        assert_eq!((node.requested.get("cpu"), node.requested.get("memory"), node.non_zero), before);
        assert_eq!((node.requested.get("cpu"), node.requested.get("memory")), (2000, 2));
    }
}
