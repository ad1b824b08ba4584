//! A node with the sum of what runs on it.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::Node;
use objects::resources::Amounts;

use crate::pod_info::PodInfo;

/// A node as the scheduler sees it: kept up to date pod by pod, never summed anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeInfo {
    /// Absent while pods are known to run on a node that is not (or no longer) known itself.
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) allocatable: Amounts,
    pub(crate) requested: Amounts,
    pub(crate) non_zero: [i64; 2],
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
            *sum = sum.saturating_add(own);
        }
        self.pods.insert(pod.uid().to_owned(), pod);
    }

    /// Counts a pod out.
    pub(crate) fn remove(&mut self, uid: &str) -> Option<Arc<PodInfo>> {
        let pod = self.pods.remove(uid)?;
        self.requested.subtract(&pod.requests);
        for (sum, own) in self.non_zero.iter_mut().zip(pod.non_zero) {
            *sum = sum.saturating_sub(own);
        }
        Some(pod)
    }
}
