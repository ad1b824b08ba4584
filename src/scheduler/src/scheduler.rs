//! The scheduling loop: the one task that owns queue and cluster.
//!
//! It takes in all changes that are there, then runs one cycle, and sleeps when nothing is ready. Bindings and reports run
//! beside it.

use std::{collections::BTreeSet, sync::Arc};

use client::{Change, Informer, answer};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use objects::pod;
use rand::Rng;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    Caches, NAME,
    binding::{Binder, Cycle, Outcome},
    cluster::Cluster,
    cycle,
    framework::Event,
    metrics::{self, Attempt},
    plugins,
    pod_info::PodInfo,
    queue::Queue,
};

pub(crate) struct Scheduler {
    queue: Queue,
    cluster: Cluster,
    /// Where the next search for nodes begins.
    start: usize,
    binder: Binder,
    outcomes: (mpsc::UnboundedSender<Outcome>, mpsc::UnboundedReceiver<Outcome>),
}

impl Scheduler {
    pub(crate) fn new(binder: Binder) -> Self {
        let outcomes = mpsc::unbounded_channel();
        Self { queue: Queue::default(), cluster: Cluster::default(), start: 0, binder, outcomes }
    }

    /// Schedules until the informers stop.
    pub(crate) async fn run(mut self, caches: &Caches) {
        let Caches { namespaces, nodes, pods } = caches;
        caches.synced().await;
        let mut namespace_changes = namespaces.subscribe();
        let (mut node_changes, mut pod_changes) = (nodes.subscribe(), pods.subscribe());
        loop {
            while let Some(change) = namespace_changes.try_next() {
                self.on_namespace(change);
            }
            while let Some(change) = node_changes.try_next() {
                self.on_node(change);
            }
            while let Some(change) = pod_changes.try_next() {
                self.on_pod(change);
            }
            while let Ok(outcome) = self.outcomes.1.try_recv() {
                self.on_outcome(outcome, pods);
            }
            self.queue.release_due(Instant::now());
            metrics::pending(self.queue.sizes());
            if let Some(pod) = self.queue.pop() {
                self.schedule(pod);
                tokio::task::consume_budget().await;
                continue;
            }
            let deadline = self.queue.next_deadline();
            tokio::select! {
                Some(change) = namespace_changes.next() => self.on_namespace(change),
                Some(change) = node_changes.next() => self.on_node(change),
                Some(change) = pod_changes.next() => self.on_pod(change),
                Some(outcome) = self.outcomes.1.recv() => self.on_outcome(outcome, pods),
                () = sleep_until(deadline), if deadline.is_some() => {}
                else => return,
            }
        }
    }

    fn schedule(&mut self, pod: Arc<PodInfo>) {
        let (started, choose) = (Instant::now(), |count| rand::rng().random_range(0..count));
        let decision = cycle::schedule(&self.cluster, &pod, &mut self.start, choose);
        metrics::decided(started.elapsed());
        match decision {
            Ok(node) => {
                // Assumed: counted on the node before the API server and the informer confirm it.
                self.place(pod.clone(), &node);
                let cycle = Cycle { started, attempt: self.queue.attempts(pod.uid()) };
                self.binder.bind(pod, node, cycle, self.outcomes.0.clone());
            }
            Err(diagnosis) => {
                let message = diagnosis.message(&pod);
                metrics::attempted(Attempt::Unschedulable, started.elapsed());
                self.queue.set_unschedulable(pod.uid(), diagnosis.rejectors, Instant::now());
                self.binder.report_failure(&pod, "Unschedulable", message);
            }
        }
    }

    fn on_outcome(&mut self, outcome: Outcome, pods: &Informer<Pod>) {
        let uid = outcome.pod.uid();
        let Err(error) = outcome.result else {
            metrics::attempted(Attempt::Scheduled(outcome.attempts), outcome.took);
            return self.queue.remove(uid);
        };
        let meta = &outcome.pod.pod.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let known = pods.get(namespace, meta.name.as_deref().unwrap_or_default());
        if known.is_some_and(|pod| pod.metadata.uid == meta.uid && !pod::node_name(&pod).is_empty()) {
            // It is bound after all, by this attempt whose answer was lost or by somebody else: the pod's change tells.
            return;
        }
        metrics::attempted(Attempt::Error, outcome.took);
        if let Some(pod) = self.cluster.remove_pod(uid) {
            self.wake(&Event::Ended(&pod));
        }
        if answer::is_not_found(&error) {
            return self.queue.remove(uid);
        }
        self.queue.retry(uid, Instant::now());
        self.binder.report_failure(&outcome.pod, "SchedulerError", answer::message(&error));
    }

    fn on_namespace(&mut self, change: Change<Namespace>) {
        let meta = &change.object().metadata;
        let name = meta.name.as_deref().unwrap_or_default();
        match &change {
            Change::Deleted(_) => self.cluster.remove_namespace(name),
            Change::Applied { .. } => {
                if self.cluster.set_namespace(name, meta.labels.clone().unwrap_or_default()) {
                    self.wake(&Event::Namespace);
                }
            }
        }
    }

    fn on_node(&mut self, change: Change<Node>) {
        match change {
            Change::Deleted(node) => {
                self.cluster.remove_node(node.metadata.name.as_deref().unwrap_or_default());
                self.wake(&Event::NodeGone(&node));
            }
            Change::Applied { old, new } => {
                let matters = old.as_ref().is_none_or(|old| differ(old, &new));
                self.cluster.set_node(new.clone());
                if matters {
                    self.wake_for_node(old.as_deref(), &new);
                }
            }
        }
    }

    fn on_pod(&mut self, change: Change<Pod>) {
        let pod = match change {
            Change::Applied { new, .. } if !pod::is_terminal(&new) => new,
            Change::Applied { new: gone, .. } | Change::Deleted(gone) => {
                return self.forget(gone.metadata.uid.as_deref().unwrap_or_default());
            }
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let node = pod::node_name(&pod).to_owned();
        if !node.is_empty() {
            self.queue.remove(&uid);
            self.place(Arc::new(PodInfo::new(pod)), &node);
        } else if self.cluster.has_pod(&uid) {
            // Assumed: its binding is under way.
        } else if is_ours(&pod) {
            self.queue.set(Arc::new(PodInfo::new(pod)), Instant::now());
        } else {
            self.queue.remove(&uid);
        }
    }

    fn forget(&mut self, uid: &str) {
        self.queue.remove(uid);
        if let Some(pod) = self.cluster.remove_pod(uid) {
            self.wake(&Event::Ended(&pod));
        }
    }

    /// Counts a pod on a node and wakes those that this helps.
    fn place(&mut self, pod: Arc<PodInfo>, node: &str) {
        let old = self.cluster.place(pod.clone(), node);
        let is_same =
            |old: &PodInfo| old.labels() == pod.labels() && old.is_terminating() == pod.is_terminating();
        if !old.as_deref().is_some_and(is_same) {
            self.wake(&Event::Placed { old: old.as_deref(), new: &pod });
        }
    }

    fn wake_for_node(&mut self, old: Option<&Node>, new: &Node) {
        let Self { queue, cluster, .. } = self;
        let Some(new) = cluster.node(new.metadata.name.as_deref().unwrap_or_default()) else { return };
        let event = Event::Node { old, new };
        // Without rejectors there was no node at all: any is a help.
        queue.wake_where(
            |pod, rejectors| rejectors.is_empty() || is_helped(rejectors, pod, &event, cluster),
            Instant::now(),
        );
    }

    /// Wakes the pods that `event` may help.
    fn wake(&mut self, event: &Event<'_>) {
        let Self { queue, cluster, .. } = self;
        queue.wake_where(|pod, rejectors| is_helped(rejectors, pod, event, cluster), Instant::now());
    }
}

/// Whether one of the filters that kept `pod` out says that `event` may help it.
fn is_helped(
    rejectors: &BTreeSet<&'static str>,
    pod: &PodInfo,
    event: &Event<'_>,
    cluster: &Cluster,
) -> bool {
    let mut filters = rejectors.iter().filter_map(|name| plugins::filter(name));
    filters.any(|filter| filter.is_helped_by(pod, event, cluster))
}

async fn sleep_until(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
    }
}

/// Whether an unbound pod is for this scheduler to place, now.
fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let name = spec.scheduler_name.as_deref().unwrap_or(NAME);
    name == NAME && !gated && pod.metadata.deletion_timestamp.is_none()
}

/// Whether nodes differ in what any plugin looks at; heartbeats do not count.
fn differ(old: &Node, new: &Node) -> bool {
    let allocatable = |node: &Node| node.status.as_ref().and_then(|status| status.allocatable.clone());
    old.spec != new.spec || old.metadata.labels != new.metadata.labels || allocatable(old) != allocatable(new)
}
