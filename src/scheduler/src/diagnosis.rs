//! Why a pod fits nowhere, in the words that users and tools know (upstream `framework.FitError`).

use std::collections::{BTreeMap, BTreeSet};

use crate::{framework::Verdict, node_info::NodeInfo, pod_info::PodInfo};

/// What every node's examination came to.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis {
    nodes: usize,
    /// What rules all nodes out at once; then there are no reasons by node.
    general: Option<String>,
    /// How many nodes gave each reason.
    reasons: BTreeMap<String, usize>,
    /// The filters that objected.
    pub(crate) rejectors: BTreeSet<&'static str>,
    /// Nodes where ending other pods cannot help, and nodes where there is none to end.
    unhelpful: usize,
    without_victims: usize,
    /// Nodes where pods of lower priority run.
    with_victims: usize,
}

impl Diagnosis {
    /// `filter` ruled out all of `nodes` without looking at them.
    pub(crate) fn of_all(filter: &'static str, reason: String, nodes: usize) -> Self {
        // Where there are no nodes, the first that comes is what helps.
        let rejectors = if nodes == 0 { BTreeSet::new() } else { [filter].into() };
        Self { nodes, general: Some(reason), rejectors, unhelpful: nodes, ..Self::default() }
    }

    /// Notes that `filter` ruled `node` out.
    pub(crate) fn reject(&mut self, filter: &'static str, verdict: Verdict, pod: &PodInfo, node: &NodeInfo) {
        self.nodes += 1;
        self.rejectors.insert(filter);
        let reasons = match verdict {
            Verdict::Fits => Vec::new(),
            Verdict::Unresolvable(reasons) => {
                self.unhelpful += 1;
                reasons
            }
            Verdict::Unschedulable(reasons) => {
                let has_victims = node.pods.values().any(|other| other.priority() < pod.priority());
                *if has_victims { &mut self.with_victims } else { &mut self.without_victims } += 1;
                reasons
            }
        };
        for reason in reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// The sentence for the pod's condition and event.
    pub(crate) fn message(&self, pod: &PodInfo) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let counted = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let reasons = self.general.clone().unwrap_or_else(|| join(counted));
        let mut message = format!("0/{} nodes are available: {reasons}.", self.nodes);
        if let Some(preemption) = self.preemption(pod) {
            message.push_str(" no new claims to deallocate, preemption: ");
            message.push_str(&preemption);
        }
        message
    }

    /// What preempting others would bring: nothing, wherever nobody of lower priority runs. Elsewhere it is not built.
    fn preemption(&self, pod: &PodInfo) -> Option<String> {
        let policy = pod.pod.spec.as_ref().and_then(|spec| spec.preemption_policy.as_deref());
        if policy == Some("Never") {
            return Some("not eligible due to preemptionPolicy=Never.".into());
        }
        if self.with_victims > 0 {
            return None;
        }
        let parts = [
            (self.unhelpful, "Preemption is not helpful for scheduling"),
            (self.without_victims, "No preemption victims found for incoming pod"),
        ];
        let counted = parts.into_iter().filter(|(count, _)| *count > 0);
        let counted = counted.map(|(count, reason)| format!("{count} {reason}")).collect();
        Some(format!("0/{} nodes are available: {}.", self.nodes, join(counted)))
    }
}

fn join(mut counted: Vec<String>) -> String {
    counted.sort();
    counted.join(", ")
}
