//! The pods of the node: who they are comes from the API, each gets a worker, events of the runtime wake the right one.
//!
//! The only place that knows all pods. Decides which are taken (`admit`); never looks into what a pod runs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use client::{Change, EventType, Informer, Selection, Subscription};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    admit::{ASKED_AGAIN, Offer, admit},
    host::Host,
    memory::Verdict,
    pod,
    poke::Poke,
    worker::{Desired, Worker},
};

mod events;
mod orphans;

/// The pods that have a worker, by uid.
#[derive(Clone, Default)]
pub(crate) struct Pods(Arc<Mutex<HashMap<String, Known>>>);

struct Known {
    desired: watch::Sender<Desired>,
    poke: Arc<Poke>,
    /// Why the node does not take it, if so; no worker's end changes that.
    rejected: Option<Verdict>,
}

impl Pods {
    /// All pods as they are in the API.
    pub(crate) fn list(&self) -> Vec<Arc<Pod>> {
        self.known().values().map(|known| known.desired.borrow().pod.clone()).collect()
    }

    /// The pod of that name.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.list().into_iter().find(|pod| pod::namespace(pod) == namespace && pod::name(pod) == name)
    }

    /// Changes of what runs in a pod.
    pub(crate) fn changes(&self, uid: &str) -> Option<watch::Receiver<u64>> {
        self.known().get(uid).map(|known| known.poke.subscribe())
    }

    /// Whether there is a pod of that uid.
    fn knows(&self, uid: &str) -> bool {
        self.known().contains_key(uid)
    }

    fn poke(&self, uid: &str) {
        if let Some(known) = self.known().get(uid) {
            known.poke.poke();
        }
    }

    fn poke_all(&self) {
        self.known().values().for_each(|known| known.poke.poke());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().expect("no panic happens while the pods are locked")
    }
}

/// Follows the pods bound to this node and keeps a worker for each, until cancelled.
pub(crate) async fn run(host: Arc<Host>, pods: Pods, cancel: CancellationToken) {
    let selection = Selection::fields(format!("spec.nodeName={}", host.config.node_name));
    let informer = Informer::<Pod>::start(host.client.clone(), None, selection, cancel.clone());
    informer.synced().await;
    let mut changes = informer.subscribe();
    let mut dispatcher = Dispatcher { host: host.clone(), pods: pods.clone(), workers: JoinSet::new() };
    // The pods that are here already come first, in the order they were made: that is the order they are admitted in.
    let mut present: Vec<Arc<Pod>> = Vec::new();
    while let Some(change) = changes.try_next() {
        present.push(change.object().clone());
    }
    present.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    for pod in present {
        dispatcher.applied(&pod).await;
    }
    let cleaning = tokio::spawn(orphans::clean_up(host.clone(), pods.clone()));
    // In one task: a panic of either is the kubelet's, which begins anew.
    let work = async { tokio::join!(events::follow(host, pods), dispatcher.follow(changes)) };
    cancel.run_until_cancelled(work).await;
    cleaning.abort();
    // Workers are dropped where they are: what they did so far is on the node and will be found again.
}

struct Dispatcher {
    host: Arc<Host>,
    pods: Pods,
    /// Each returns the uid of its pod.
    workers: JoinSet<String>,
}

impl Dispatcher {
    async fn follow(&mut self, mut changes: Subscription<Pod>) {
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Change::Applied { old, new }) => {
                        // Another pod of the same name, if the end of the first was missed.
                        if let Some(old) = old.filter(|old| pod::uid(old) != pod::uid(&new)) {
                            self.removed(&old);
                        }
                        self.applied(&new).await;
                    }
                    Some(Change::Deleted(last)) => self.removed(&last),
                    // The informer has stopped: the kubelet is ending.
                    None => return,
                },
                Some(ended) = self.workers.join_next(), if !self.workers.is_empty() => self.worker_ended(ended),
            }
        }
    }

    async fn applied(&mut self, pod: &Arc<Pod>) {
        let uid = pod::uid(pod);
        let desired = Desired { pod: pod.clone(), is_removed: false };
        if let Some(known) = self.pods.known().get(uid) {
            known.desired.send_replace(desired);
            return;
        }
        let mut rejected = self.admit(pod).err();
        if rejected.as_ref().is_some_and(|verdict| ASKED_AGAIN.contains(&verdict.reason.as_str())) {
            // The node may have been labelled, or a taint taken from it, a moment ago.
            self.fetch_node().await;
            rejected = self.admit(pod).err();
        }
        self.start(uid.to_owned(), desired, rejected);
    }

    fn removed(&mut self, last: &Arc<Pod>) {
        if let Some(known) = self.pods.known().get(pod::uid(last)) {
            known.desired.send_replace(Desired { pod: last.clone(), is_removed: true });
        }
    }

    async fn fetch_node(&self) {
        let nodes = Api::<Node>::all(self.host.client.clone());
        match nodes.get(&self.host.config.node_name).await {
            Ok(node) => self.host.set_node(&node),
            Err(error) => tracing::warn!(%error, "the node could not be read"),
        }
    }

    /// A pod that has been taken before, or has ended, is not asked again.
    fn admit(&self, pod: &Pod) -> Result<(), Verdict> {
        let status = pod.status.as_ref();
        let was_taken = status.is_some_and(|status| status.start_time.is_some());
        if was_taken || objects::pod::is_terminal(pod) || pod.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let known = self.pods.known();
        let others: Vec<Arc<Pod>> = known
            .values()
            .filter(|known| known.rejected.is_none())
            .map(|known| known.desired.borrow().pod.clone())
            .filter(|other| !objects::pod::is_terminal(other))
            .collect();
        drop(known);
        let node = self.host.node();
        let node = Offer {
            name: self.host.config.node_name.clone(),
            allocatable: self.host.machine.allocatable_amounts(),
            labels: node.labels.clone(),
            taints: node.taints.clone(),
            has_apparmor: self.host.machine.has_apparmor,
        };
        admit(pod, others.iter().map(Arc::as_ref), &node)
    }

    fn start(&mut self, uid: String, desired: Desired, rejected: Option<Verdict>) {
        if let Some(verdict) = &rejected {
            let message = verdict.message.clone();
            self.host.pod_event(&desired.pod, EventType::Warning, &verdict.reason, message);
        }
        let poke = Arc::new(Poke::default());
        let (sender, receiver) = watch::channel(desired);
        let known = Known { desired: sender, poke: poke.clone(), rejected: rejected.clone() };
        self.pods.known().insert(uid.clone(), known);
        let worker = Worker::new(self.host.clone(), poke, receiver, rejected);
        self.workers.spawn(guarded(worker, uid));
    }

    /// Forgets a pod whose worker ended; one whose worker panicked gets another.
    fn worker_ended(&mut self, ended: Result<String, tokio::task::JoinError>) {
        let uid = match ended {
            Ok(uid) => uid,
            Err(error) => {
                tracing::error!(%error, "a worker was lost");
                return;
            }
        };
        let Some(known) = self.pods.known().remove(&uid) else { return };
        let desired = known.desired.borrow().clone();
        let gone = desired.is_removed;
        if !gone {
            tracing::error!(pod = %pod::full_name(&desired.pod), "a pod's worker ended early and is started again");
            self.start(uid, desired, known.rejected);
        }
    }
}

/// Runs a worker and returns the uid of its pod, even if the worker panics.
async fn guarded(worker: Worker, uid: String) -> String {
    use futures::FutureExt;
    if std::panic::AssertUnwindSafe(worker.run()).catch_unwind().await.is_err() {
        tracing::error!(uid, "a pod's worker panicked");
        // Not at once: what made it panic is still there.
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    }
    uid
}
