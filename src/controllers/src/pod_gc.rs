//! Removes pods that nobody else will (upstream `pkg/controller/podgc`): ended ones beyond a number, those of nodes that are
//! gone, and those deleted before they were bound.
//!
//! Work comes from pods and nodes as they change; a node is given some time to turn up before its pods are taken for lost.

use std::{fmt, sync::Arc, time::Duration};

use client::{Change, Index, Informer, Key, Queue, Requeue};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use objects::pod;
use serde_json::json;

use crate::{
    Context, Error,
    feed::{feed, observe},
    ignore_absent,
    node_lifecycle::pods_by_node,
};

const ACCOUNT: &str = "pod-garbage-collector";
/// So many ended pods are kept.
const MAX_ENDED: usize = 12_500;
/// So long a node may be unknown until its pods are deleted.
const QUARANTINE: Duration = Duration::from_secs(40);
const ENDED: &str = "ended";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (nodes, pods) = (cx.informers.of::<Node>(), cx.informers.of::<Pod>());
    nodes.synced().await;
    pods.synced().await;
    let controller = PodGc {
        ended: pods.index_by(ENDED, |pod| pod::is_terminal(pod).then(|| ENDED.to_owned())),
        by_node: pods_by_node(&pods),
        nodes: nodes.clone(),
        pods: pods.clone(),
        client: cx.client(ACCOUNT),
    };
    let queue = Queue::named("pod_gc");
    feed(&pods, &queue, |change| match change {
        Change::Applied { new, .. } => for_pod(new),
        Change::Deleted(_) => None,
    });
    let (known, delayed) = (nodes.clone(), queue.clone());
    observe(&pods, move |change| {
        let node = pod::node_name(change.object());
        if matches!(change, Change::Applied { .. }) && !node.is_empty() && known.get("", node).is_none() {
            delayed.add_after(Work::LostNode(node.to_owned()), QUARANTINE);
        }
    });
    let delayed = queue.clone();
    observe(&nodes, move |change| {
        if let Change::Deleted(node) = change {
            delayed.add_after(Work::LostNode(node.metadata.name.clone().unwrap_or_default()), QUARANTINE);
        }
    });
    client::work(queue, 1, |work| controller.sync(work), cx.cancel.clone()).await;
    Ok(())
}

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    /// Whether too many pods have ended.
    Ended,
    /// A pod deleted before it was bound.
    Unbound(Key),
    /// A node that was not there.
    LostNode(String),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Ended => f.write_str("ended pods"),
            Work::Unbound(key) => write!(f, "unbound pod {key}"),
            Work::LostNode(name) => write!(f, "pods of node {name}"),
        }
    }
}

fn for_pod(pod: &Pod) -> Option<Work> {
    if is_unbound(pod) {
        Some(Work::Unbound(Key::of(pod)))
    } else {
        pod::is_terminal(pod).then_some(Work::Ended)
    }
}

/// Deleted before it was bound: no kubelet will confirm its end.
fn is_unbound(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && pod::node_name(pod).is_empty()
}

struct PodGc {
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    ended: Index<Pod>,
    by_node: Index<Pod>,
    client: kube::Client,
}

impl PodGc {
    async fn sync(&self, work: Work) -> Result<Requeue, Error> {
        match work {
            Work::Ended if self.ended.count(ENDED) > MAX_ENDED => {
                for pod in surplus(self.ended.get(ENDED), MAX_ENDED) {
                    self.delete(&pod, None).await?;
                }
            }
            Work::Ended => {}
            Work::Unbound(key) => {
                if let Some(pod) = self.pods.get_key(&key).filter(|pod| is_unbound(pod)) {
                    self.delete(&pod, None).await?;
                }
            }
            Work::LostNode(name) => {
                if self.is_lost(&name).await? {
                    for pod in self.by_node.get(&name) {
                        self.delete(&pod, Some("PodGC: node no longer exists")).await?;
                    }
                }
            }
        }
        Ok(Requeue::No)
    }

    /// Whether there is no such node, by a direct read.
    async fn is_lost(&self, name: &str) -> Result<bool, Error> {
        if self.nodes.get("", name).is_some() {
            return Ok(false);
        }
        Ok(Api::<Node>::all(self.client.clone()).get_metadata_opt(name).await?.is_none())
    }

    /// Deletes a pod at once; one that had not ended fails first, with the given message.
    async fn delete(&self, pod: &Pod, message: Option<&str>) -> Result<(), Error> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        if !pod::is_terminal(pod) {
            let patch = Patch::Strategic(failure(pod, message, Timestamp::now()));
            ignore_absent(api.patch_status(name, &PatchParams::default(), &patch).await)?;
        }
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        ignore_absent(api.delete(name, &params).await)
    }
}

/// The status of a pod that was cut off.
fn failure(pod: &Pod, message: Option<&str>, now: Timestamp) -> serde_json::Value {
    let condition = message.map(|message| PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("DeletionByPodGC".into()),
        message: Some(message.into()),
        observed_generation: pod.metadata.generation,
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    });
    let conditions: Vec<PodCondition> = condition.into_iter().collect();
    json!({"metadata": {"uid": pod.metadata.uid}, "status": {"phase": "Failed", "conditions": conditions}})
}

/// What of the `ended` pods is beyond `max`: evicted ones first, then the oldest.
fn surplus(mut ended: Vec<Arc<Pod>>, max: usize) -> Vec<Arc<Pod>> {
    let evicted =
        |pod: &Pod| pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("Evicted");
    let count = ended.len().saturating_sub(max);
    ended.sort_by_key(|pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (!evicted(pod), created, pod.metadata.name.clone())
    });
    ended.truncate(count);
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, reason: &str, second: i64) -> Arc<Pod> {
        let created = Timestamp::from_second(second).unwrap();
        let meta = json!({"name": name, "creationTimestamp": created});
        let pod = json!({"metadata": meta, "status": {"phase": "Failed", "reason": reason}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn evicted_pods_go_before_the_oldest() {
        let ended = vec![pod("new", "", 9), pod("old", "", 1), pod("evicted", "Evicted", 5)];
        let names = |max| {
            let gone = surplus(ended.clone(), max);
            gone.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["evicted", "old"]);
        assert_eq!(names(2), ["evicted"]);
        assert!(names(3).is_empty());
    }

    #[test]
    fn only_pods_that_need_it_are_looked_at() {
        let mut deleted = (*pod("a", "", 1)).clone();
        assert_eq!(for_pod(&deleted), Some(Work::Ended));
        deleted.status = None;
        assert_eq!(for_pod(&deleted), None);
        deleted.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(for_pod(&deleted), Some(Work::Unbound(Key::of(&deleted))));
    }
}
