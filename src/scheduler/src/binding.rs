//! What the scheduler tells the API server: bindings, the PodScheduled condition, events.
//!
//! Each call runs beside the scheduling loop; the outcome of a binding comes back over a channel.

use std::{sync::Arc, time::Duration};

use client::{EventType, Recorder, answer, reference};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Binding, ObjectReference, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use crate::pod_info::PodInfo;

/// How a binding went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) pod: Arc<PodInfo>,
    pub(crate) result: kube::Result<()>,
    /// Since the cycle that chose the node began.
    pub(crate) took: Duration,
    /// How many cycles the pod has had.
    pub(crate) attempts: u32,
}

/// The cycle that chose a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycle {
    pub(crate) started: Instant,
    /// The how manieth of the pod it is, from 1.
    pub(crate) attempt: u32,
}

#[derive(Clone)]
pub(crate) struct Binder {
    client: Client,
    recorder: Recorder,
}

impl Binder {
    pub(crate) fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, recorder }
    }

    /// Binds `pod` to `node`, which `cycle` chose, in the background and reports to `outcomes`.
    pub(crate) fn bind(
        &self,
        pod: Arc<PodInfo>,
        node: String,
        cycle: Cycle,
        outcomes: mpsc::UnboundedSender<Outcome>,
    ) {
        let binder = self.clone();
        tokio::spawn(async move {
            let result = binder.post_binding(&pod.pod, &node).await;
            let took = cycle.started.elapsed();
            if result.is_ok() {
                let meta = &pod.pod.metadata;
                let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
                let message = format!(
                    "Successfully assigned {}/{} to {node}",
                    namespace.unwrap_or_default(),
                    name.unwrap_or_default()
                );
                binder.recorder.event(&reference(&*pod.pod), EventType::Normal, "Scheduled", message);
            }
            // Nobody listens any more only when the scheduler has ended.
            outcomes.send(Outcome { pod, result, took, attempts: cycle.attempt }).ok();
        });
    }

    async fn post_binding(&self, pod: &Pod, node: &str) -> kube::Result<()> {
        let meta = &pod.metadata;
        let binding = Binding {
            metadata: ObjectMeta {
                namespace: meta.namespace.clone(),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
                ..ObjectMeta::default()
            },
            target: ObjectReference {
                kind: Some("Node".into()),
                name: Some(node.into()),
                ..ObjectReference::default()
            },
        };
        let name = meta.name.as_deref().unwrap_or_default();
        let answer: serde_json::Value =
            self.api(pod).create_subresource("binding", name, &PostParams::default(), &binding).await?;
        tracing::trace!(%answer, name, node, "bound");
        Ok(())
    }

    /// Tells, in the background, why `pod` is not bound: `reason` is `Unschedulable` or `SchedulerError`.
    pub(crate) fn report_failure(&self, pod: &Arc<PodInfo>, reason: &'static str, message: String) {
        self.recorder.event(&reference(&*pod.pod), EventType::Warning, "FailedScheduling", message.clone());
        let Some(condition) = failure_condition(&pod.pod, reason, message, Timestamp::now()) else { return };
        let (binder, pod) = (self.clone(), pod.pod.clone());
        tokio::spawn(async move {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let patch = Patch::Strategic(json!({"status": {"conditions": [condition]}}));
            match binder.api(&pod).patch_status(name, &PatchParams::default(), &patch).await {
                Err(error) if !answer::is_not_found(&error) => {
                    tracing::error!(name, %error, "cannot write the PodScheduled condition");
                }
                _ => {}
            }
        });
    }

    fn api(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
    }
}

/// The PodScheduled condition to write, unless the pod has the same already.
fn failure_condition(pod: &Pod, reason: &str, message: String, now: Timestamp) -> Option<PodCondition> {
    let present = objects::pod::condition(pod, "PodScheduled");
    let same_status = present.filter(|present| present.status == "False");
    let condition = PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: Some(reason.into()),
        message: Some(message),
        observed_generation: pod.metadata.generation,
        last_transition_time: same_status
            .and_then(|present| present.last_transition_time.clone())
            .or(Some(Time(now))),
        last_probe_time: None,
    };
    (present != Some(&condition)).then_some(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_is_written_only_when_it_says_something_new() {
        let mut pod = Pod::default();
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let condition = failure_condition(&pod, "Unschedulable", "no room".into(), first).unwrap();
        pod.status.get_or_insert_default().conditions = Some(vec![condition]);
        assert_eq!(failure_condition(&pod, "Unschedulable", "no room".into(), later), None);
        let other = failure_condition(&pod, "Unschedulable", "no nodes".into(), later).unwrap();
        assert_eq!(other.last_transition_time, Some(Time(first)), "the status has not changed");
    }
}
