//! What a plugin is.
//!
//! Once per cycle every [`Filter`] sees the pod and the whole cluster and says how it judges nodes; the cycle then asks
//! about one node after the other, until a filter objects. Every [`Score`] rates the nodes that are left. Most plugins
//! need only the pod and the node: they are [`NodeFilter`] and [`NodeScore`]. Plugins are pure: what they know is what
//! they are shown.

use std::fmt::{self, Debug};

use k8s_openapi::api::core::v1::Node;

use crate::{cluster::Cluster, node_info::NodeInfo, pod_info::PodInfo};

/// The best score of a plugin for a node; the worst is 0.
pub(crate) const MAX_NODE_SCORE: i64 = 100;

/// A filter's opinion of one node for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The pod may run there.
    Fits,
    /// Not now; pods that leave the node might change that. Each reason counts by itself.
    Unschedulable(Vec<String>),
    /// Not as long as the node is as it is, whatever runs on it.
    Unresolvable(Vec<String>),
}

impl Verdict {
    /// [`Verdict::Unschedulable`] for one reason.
    pub(crate) fn unschedulable(reason: &str) -> Self {
        Verdict::Unschedulable(vec![reason.to_owned()])
    }

    /// [`Verdict::Unresolvable`] for one reason.
    pub(crate) fn unresolvable(reason: &str) -> Self {
        Verdict::Unresolvable(vec![reason.to_owned()])
    }
}

/// What a filter comes to before it sees the first node.
pub(crate) enum PreFilter<'a> {
    /// It has nothing to say about this pod (upstream `Skip`).
    Skip,
    /// No node will do, for this reason.
    Reject(String),
    /// Every node is judged by this.
    Judge(Box<dyn Fn(&NodeInfo) -> Verdict + 'a>),
}

impl Debug for PreFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PreFilter::Skip => f.write_str("Skip"),
            PreFilter::Reject(reason) => f.debug_tuple("Reject").field(reason).finish(),
            PreFilter::Judge(_) => f.write_str("Judge"),
        }
    }
}

/// What may make room for a pod that waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// A node came, or changed in something that plugins look at.
    Node { old: Option<&'a Node>, new: &'a NodeInfo },
    /// A node is gone.
    NodeGone(&'a Node),
    /// A pod was placed on a node, or changed there in what other pods' rules look at.
    Placed { old: Option<&'a PodInfo>, new: &'a PodInfo },
    /// A pod no longer takes up anything.
    Ended(&'a PodInfo),
    /// A namespace came or got other labels.
    Namespace,
}

/// Rules nodes out.
pub(crate) trait Filter: Debug + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;

    /// Takes in the pod and the cluster, once per cycle.
    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, cluster: &'a Cluster) -> PreFilter<'a>;

    /// Whether `event`, which `cluster` reflects already, may make room for a pod that this plugin kept out.
    fn is_helped_by(&self, pod: &PodInfo, event: &Event<'_>, cluster: &Cluster) -> bool;
}

/// A filter that judges a node by itself.
pub(crate) trait NodeFilter: Debug + Sync {
    /// Upstream's name of the plugin.
    fn name(&self) -> &'static str;

    /// Whether `pod` may run on `node` as far as this plugin is concerned.
    fn filter(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict;

    /// Whether the end of another pod may make room for a pod that this plugin kept out.
    fn is_helped_by_end_of(&self, _pod: &PodInfo, _ended: &PodInfo) -> bool {
        false
    }
}

impl<T: NodeFilter> Filter for T {
    fn name(&self) -> &'static str {
        NodeFilter::name(self)
    }

    fn pre_filter<'a>(&'a self, pod: &'a PodInfo, _cluster: &'a Cluster) -> PreFilter<'a> {
        PreFilter::Judge(Box::new(|node| self.filter(pod, node)))
    }

    fn is_helped_by(&self, pod: &PodInfo, event: &Event<'_>, _cluster: &Cluster) -> bool {
        match event {
            Event::Node { new, .. } => self.filter(pod, new) == Verdict::Fits,
            Event::Ended(ended) => self.is_helped_by_end_of(pod, ended),
            Event::NodeGone(_) | Event::Placed { .. } | Event::Namespace => false,
        }
    }
}

/// Prefers nodes.
pub(crate) trait Score: Debug + Sync {
    /// How much this plugin's opinion counts.
    fn weight(&self) -> i64;

    /// How good each of `nodes` is for `pod`, in 0..=100; nothing where the plugin has no opinion on this pod.
    fn scores(&self, pod: &PodInfo, cluster: &Cluster, nodes: &[&NodeInfo]) -> Option<Vec<i64>>;
}

/// A score that rates a node by itself.
pub(crate) trait NodeScore: Debug + Sync {
    /// How much this plugin's opinion counts.
    fn weight(&self) -> i64 {
        1
    }

    /// How good `node` is for `pod`; [`NodeScore::normalize`] brings the numbers into 0..=100.
    fn score(&self, pod: &PodInfo, node: &NodeInfo) -> i64;

    /// Scales the scores of all feasible nodes; by default they are in range already.
    fn normalize(&self, _scores: &mut [i64]) {}
}

impl<T: NodeScore> Score for T {
    fn weight(&self) -> i64 {
        NodeScore::weight(self)
    }

    fn scores(&self, pod: &PodInfo, _cluster: &Cluster, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
        let mut scores: Vec<i64> = nodes.iter().map(|node| self.score(pod, node)).collect();
        self.normalize(&mut scores);
        Some(scores)
    }
}

/// Scales so that the largest score becomes 100. All stay 0 where all are 0.
pub(crate) fn normalize(scores: &mut [i64]) {
    let max = scores.iter().copied().max().unwrap_or(0);
    if max > 0 {
        scores.iter_mut().for_each(|score| *score = *score * MAX_NODE_SCORE / max);
    }
}

/// As [`normalize`], but the lowest score is the best and becomes the highest.
pub(crate) fn normalize_reversed(scores: &mut [i64]) {
    normalize(scores);
    scores.iter_mut().for_each(|score| *score = MAX_NODE_SCORE - *score);
}
