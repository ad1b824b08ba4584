//! Notices nodes that fell silent, and keeps the taints that follow from a node's conditions (upstream
//! `pkg/controller/nodelifecycle`).
//!
//! Keys are nodes; they come from nodes and, for each, from a timer that runs out when neither its lease nor its status was
//! renewed for long enough. [`plan`] decides; [`disruption`] holds it back where much of the cluster is silent. Evicting pods is [`crate::taint_eviction`]'s business.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use client::{Change, EventType, Index, Informer, Queue, Recorder, Requeue, reference};
use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Node, NodeCondition, Pod, PodCondition, Taint},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use objects::{node, pod};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Context, Error,
    feed::{feed, observe},
    ignore_absent,
};

mod disruption;
mod plan;

use disruption::{Turn, Zones};
use plan::Eviction;

/// The service account of everything about nodes.
pub(crate) const ACCOUNT: &str = "node-controller";
const WORKERS: usize = 8;
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// So long a new node may take until its first status.
const STARTUP_GRACE: Duration = Duration::from_secs(60);

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (nodes, leases) = (cx.informers.of::<Node>(), cx.informers.of::<Lease>());
    let pods = cx.informers.of::<Pod>();
    nodes.synced().await;
    leases.synced().await;
    pods.synced().await;
    let controller = Arc::new(Lifecycle {
        nodes: nodes.clone(),
        pods: pods_by_node(&pods),
        heard: Mutex::default(),
        // All at once: the first alone might look like a cluster where nobody is ready.
        zones: Mutex::new(Zones::of(&nodes.list())),
        grace: cx.node_monitor_grace_period,
        client: cx.client(ACCOUNT),
        recorder: cx.recorder(ACCOUNT, ACCOUNT),
    });
    let queue = Queue::<String>::named("node_lifecycle_controller");
    let watcher = controller.clone();
    feed(&nodes, &queue, move |change| watcher.observe_node(change));
    let watcher = controller.clone();
    observe(&leases, move |change| watcher.observe_lease(&change));
    client::work(queue, WORKERS, |name| controller.sync(name), cx.cancel.clone()).await;
    Ok(())
}

/// The index of pods by the node they are bound to.
pub(crate) fn pods_by_node(pods: &Informer<Pod>) -> Index<Pod> {
    pods.index_by("node", |pod| Some(pod::node_name(pod).to_owned()).filter(|node| !node.is_empty()))
}

struct Lifecycle {
    nodes: Informer<Node>,
    pods: Index<Pod>,
    /// When each node was last heard of, by this process' clock.
    heard: Mutex<HashMap<String, Instant>>,
    zones: Mutex<Zones>,
    /// So long a node may be silent.
    grace: Duration,
    client: kube::Client,
    recorder: Recorder,
}

impl Lifecycle {
    /// Takes note of a sign of life; the node is looked at where more than that changed, and all others where that may
    /// change what becomes of them.
    fn observe_node(&self, change: &Change<Node>) -> Vec<String> {
        let name = change.object().metadata.name.clone().unwrap_or_default();
        if self.observe_zone(&name, change) {
            self.take_in(&name, change);
            return self.nodes.list().iter().filter_map(|node| node.metadata.name.clone()).collect();
        }
        self.take_in(&name, change).into_iter().collect()
    }

    /// Whether the state of the node's zone may be another now.
    fn observe_zone(&self, name: &str, change: &Change<Node>) -> bool {
        let mut zones = self.zones();
        let was_disrupted = zones.all_disrupted();
        let changed = match change {
            Change::Applied { new, .. } => zones.observe(name, new),
            Change::Deleted(_) => zones.forget(name),
        };
        if was_disrupted && !zones.all_disrupted() {
            // It was not they who fell silent: all begin anew.
            self.heard().values_mut().for_each(|heard| *heard = Instant::now());
        }
        changed
    }

    fn take_in(&self, name: &str, change: &Change<Node>) -> Option<String> {
        let (node, name) = (change.object(), name.to_owned());
        match change {
            Change::Applied { old: None, .. } => {
                self.hear(&name);
                self.record(node, "RegisteredNode", &format!("Registered Node {name} in Controller"));
                Some(name)
            }
            Change::Applied { old: Some(old), new } => {
                if heartbeat(old) != heartbeat(new) {
                    self.hear(&name);
                }
                plan::differ(old, new).then_some(name)
            }
            Change::Deleted(node) => {
                self.heard().remove(&name);
                self.record(node, "RemovingNode", &format!("Removing Node {name} from Controller"));
                None
            }
        }
    }

    fn observe_lease(&self, change: &Change<Lease>) {
        if let Change::Applied { old, new } = change
            && new.metadata.namespace.as_deref() == Some(LEASE_NAMESPACE)
            && let Some(name) = new.metadata.name.as_deref()
        {
            let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
            if old.as_ref().is_none_or(|old| renewed(old) < renewed(new)) {
                self.hear(name);
            }
        }
    }

    fn hear(&self, name: &str) {
        self.heard().insert(name.to_owned(), Instant::now());
    }

    fn heard(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.heard.lock().expect("no panic happens while the signs of life are locked")
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.zones.lock().expect("no panic happens while the zones are locked")
    }

    fn record(&self, node: &Node, reason: &str, event: &str) {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        self.recorder.event(
            &reference(node),
            EventType::Normal,
            reason,
            format!("Node {name} event: {event}"),
        );
    }

    async fn sync(&self, name: String) -> Result<Requeue, Error> {
        let Some(node) = self.nodes.get("", &name) else { return Ok(Requeue::No) };
        let heard = *self.heard().entry(name.clone()).or_insert_with(Instant::now);
        let grace = if node::condition(&node, "Ready").is_some() { self.grace } else { STARTUP_GRACE };
        let left = grace.saturating_sub(heard.elapsed());

        let now = Timestamp::now();
        let (eviction, again) = self.eviction(&node);
        if left.is_zero()
            && let Some(conditions) = plan::unknown_conditions(&node, now)
        {
            self.declare_silent(&node, conditions).await?;
        } else if let Some(taints) = plan::taints(&node, eviction, now) {
            self.write_taints(&node, &taints).await?;
        }
        if left.is_zero() {
            self.mark_pods_not_ready(&name, now).await?;
        }
        let look = if left.is_zero() { grace } else { left };
        Ok(Requeue::After(again.map_or(look, |again| again.min(look))))
    }

    /// Whether the node's pods are to be evicted, if it is not ready, and when to ask again.
    fn eviction(&self, node: &Node) -> (Eviction, Option<Duration>) {
        let mut zones = self.zones();
        if zones.all_disrupted() {
            return (Eviction::Off, None);
        }
        if !plan::awaits_eviction(node) {
            return (Eviction::Due, None);
        }
        let name = node.metadata.name.as_deref().unwrap_or_default();
        match zones.turn(name, node, Instant::now()) {
            Turn::Now => (Eviction::Due, None),
            Turn::Later(wait) => (Eviction::Off, Some(wait)),
            Turn::Never => (Eviction::Off, None),
        }
    }

    /// Writes the conditions; the node's change leads to the taints.
    async fn declare_silent(&self, node: &Node, conditions: Vec<NodeCondition>) -> Result<(), Error> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let was_ready = node::is_ready(node);
        let patch = at_version(node, json!({"status": {"conditions": conditions}}));
        let params = PatchParams::default();
        ignore_absent(self.api().patch_status(name, &params, &Patch::Strategic(patch)).await)?;
        if was_ready {
            let message = format!("Node {name} status is now: NodeNotReady");
            self.recorder.event(&reference(node), EventType::Normal, "NodeNotReady", message);
        }
        Ok(())
    }

    async fn write_taints(&self, node: &Node, taints: &[Taint]) -> Result<(), Error> {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let patch = at_version(node, json!({"spec": {"taints": taints}}));
        ignore_absent(self.api().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await)
    }

    /// Nobody can say of the pods of a silent node that they are ready.
    async fn mark_pods_not_ready(&self, node: &str, now: Timestamp) -> Result<(), Error> {
        for pod in self.pods.get(node).into_iter().filter(|pod| pod::is_ready(pod)) {
            let Some(ready) = pod::condition(&pod, "Ready") else { continue };
            let condition = PodCondition {
                status: "False".into(),
                last_transition_time: Some(now.into()),
                ..ready.clone()
            };
            let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}});
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let params = PatchParams::default();
            ignore_absent(api.patch_status(name, &params, &Patch::Strategic(patch)).await)?;
            self.recorder.event(&reference(&*pod), EventType::Warning, "NodeNotReady", "Node is not ready");
        }
        Ok(())
    }

    fn api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }
}

fn heartbeat(node: &Node) -> Option<Timestamp> {
    node::condition(node, "Ready")?.last_heartbeat_time.as_ref().map(|time| time.0)
}

/// The patch, valid only for the node as it was seen.
fn at_version(node: &Node, mut patch: Value) -> Value {
    patch["metadata"] = json!({"resourceVersion": node.metadata.resource_version});
    patch
}
