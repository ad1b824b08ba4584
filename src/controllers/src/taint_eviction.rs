//! Evicts pods from nodes with NoExecute taints that they do not tolerate, or no longer (upstream
//! `pkg/controller/tainteviction`).
//!
//! Keys are pods; they come from pods and, for all pods of a node, from changes of its taints.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use client::{Change, EventType, Informer, Key, Queue, Recorder, Requeue, reference};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodCondition, Taint, Toleration},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use objects::{node, pod, taints};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    Context, Error,
    feed::feed,
    ignore_absent,
    node_lifecycle::{ACCOUNT, pods_by_node},
};

const COMPONENT: &str = "taint-eviction-controller";
const WORKERS: usize = 8;
const REASON: &str = "TaintManagerEviction";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (nodes, pods) = (cx.informers.of::<Node>(), cx.informers.of::<Pod>());
    nodes.synced().await;
    pods.synced().await;
    let eviction = Eviction {
        nodes: nodes.clone(),
        pods: pods.clone(),
        since: Mutex::default(),
        client: cx.client(ACCOUNT),
        recorder: cx.recorder(ACCOUNT, COMPONENT),
    };
    let queue = Queue::named("noexec_taint_pod");
    let by_node = pods_by_node(&pods);
    feed(&nodes, &queue, move |change| match change {
        Change::Applied { old: Some(old), new } if no_execute(old) == no_execute(new) => Vec::new(),
        change => {
            let pods = by_node.get(change.object().metadata.name.as_deref().unwrap_or_default());
            pods.iter().map(|pod| Key::of(&**pod)).collect()
        }
    });
    feed(&pods, &queue, |change| match change {
        Change::Applied { old: Some(old), new } if !differ(old, new) => None,
        change => Some(Key::of(&**change.object())),
    });
    client::work(queue, WORKERS, |key| eviction.sync(key), cx.cancel.clone()).await;
    Ok(())
}

fn differ(old: &Pod, new: &Pod) -> bool {
    let tolerations = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.tolerations.clone());
    pod::node_name(old) != pod::node_name(new)
        || tolerations(old) != tolerations(new)
        || old.metadata.uid != new.metadata.uid
}

struct Eviction {
    nodes: Informer<Node>,
    pods: Informer<Pod>,
    /// Since when each pod is to be evicted, with its UID.
    since: Mutex<HashMap<Key, (String, Instant)>>,
    client: kube::Client,
    recorder: Recorder,
}

impl Eviction {
    async fn sync(&self, key: Key) -> Result<Requeue, Error> {
        let pod = self.pods.get_key(&key).filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let Some(pod) = pod else {
            self.since().remove(&key);
            return Ok(Requeue::No);
        };
        let node = self.nodes.get("", pod::node_name(&pod));
        let taints = node.map(|node| no_execute(&node)).unwrap_or_default();
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        match plan(&taints, tolerations) {
            Fate::Stay => {
                if self.since().remove(&key).is_some() {
                    let message = format!("Cancelling deletion of Pod {key}");
                    self.recorder.event(&reference(&*pod), EventType::Normal, REASON, message);
                }
                Ok(Requeue::No)
            }
            Fate::Go(delay) => {
                let left = delay.saturating_sub(self.start(&key, &pod).elapsed());
                if !left.is_zero() {
                    return Ok(Requeue::After(left));
                }
                self.evict(&key, &pod).await.map(|()| Requeue::No)
            }
        }
    }

    /// Since when this very pod is to be evicted: now, if it was not.
    fn start(&self, key: &Key, pod: &Pod) -> Instant {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut since = self.since();
        let entry = since.entry(key.clone()).or_insert_with(|| (uid.clone(), Instant::now()));
        if entry.0 != uid {
            *entry = (uid, Instant::now());
        }
        entry.1
    }

    async fn evict(&self, key: &Key, pod: &Pod) -> Result<(), Error> {
        let message = format!("Marking for deletion Pod {key}");
        self.recorder.event(&reference(pod), EventType::Normal, REASON, message);
        let condition = PodCondition {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
            reason: Some("DeletionByTaintManager".into()),
            message: Some("Taint manager: deleting due to NoExecute taint".into()),
            observed_generation: pod.metadata.generation,
            last_transition_time: Some(Time(Timestamp::now())),
            ..PodCondition::default()
        };
        let api = Api::<Pod>::namespaced(self.client.clone(), &key.namespace);
        let patch = Patch::Strategic(
            json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}),
        );
        let outcome = match api.patch_status(&key.name, &PatchParams::default(), &patch).await {
            Ok(_) => api.delete(&key.name, &DeleteParams::default()).await.map(drop),
            Err(error) => Err(error),
        };
        ignore_absent(outcome)?;
        self.since().remove(key);
        Ok(())
    }

    fn since(&self) -> MutexGuard<'_, HashMap<Key, (String, Instant)>> {
        self.since.lock().expect("no panic happens while evictions are locked")
    }
}

fn no_execute(node: &Node) -> Vec<Taint> {
    node::taints(node).iter().filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

#[derive(Debug, PartialEq)]
enum Fate {
    Stay,
    /// It goes after this time.
    Go(Duration),
}

/// How long a pod with `tolerations` stays under NoExecute `taints`: as the least patient of the tolerations it needs says.
fn plan(taints: &[Taint], tolerations: &[Toleration]) -> Fate {
    let mut delay: Option<Duration> = None;
    for taint in taints {
        let matching: Vec<&Toleration> =
            tolerations.iter().filter(|toleration| taints::tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Fate::Go(Duration::ZERO);
        }
        let seconds = matching.iter().filter_map(|toleration| toleration.toleration_seconds);
        let seconds = seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
        delay = delay.into_iter().chain(seconds).min();
    }
    delay.map_or(Fate::Stay, Fate::Go)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taints by key; tolerations as `key` for ever or `key=seconds`.
    fn check(taints: &[&str], tolerations: &[&str], expected: Option<u64>) {
        let taint = |key: &&str| Taint { key: (*key).into(), effect: "NoExecute".into(), ..Taint::default() };
        let toleration = |text: &&str| {
            let (key, seconds) =
                text.split_once('=').map_or((*text, None), |(key, seconds)| (key, Some(seconds)));
            Toleration {
                key: Some(key.into()),
                operator: Some("Exists".into()),
                toleration_seconds: seconds.map(|seconds| seconds.parse().unwrap()),
                ..Toleration::default()
            }
        };
        let taints: Vec<Taint> = taints.iter().map(taint).collect();
        let tolerations: Vec<Toleration> = tolerations.iter().map(toleration).collect();
        let expected = expected.map_or(Fate::Stay, |seconds| Fate::Go(Duration::from_secs(seconds)));
        assert_eq!(plan(&taints, &tolerations), expected);
    }

    #[test]
    fn the_least_patient_toleration_decides() {
        check(&[], &[], None);
        check(&["a"], &[], Some(0));
        check(&["a"], &["a"], None);
        check(&["a"], &["a=300"], Some(300));
        check(&["a", "b"], &["a=300", "b=20"], Some(20));
        check(&["a", "b"], &["a=300", "b"], Some(300));
        check(&["a", "b"], &["a=300"], Some(0));
        check(&["a"], &["a=-5"], Some(0));
        check(&["a"], &["a=9223372036854775807"], Some(i64::MAX.unsigned_abs()));
    }
}
