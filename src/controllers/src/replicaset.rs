//! Keeps as many pods as a ReplicaSet asks for (upstream `pkg/controller/replicaset`).
//!
//! Keys are ReplicaSets; they come from the sets and from their pods. What it decides is in [`plan`]; what it has asked
//! for and not yet seen is in [`expectations`], so that a lagging cache never makes it ask twice.

use std::sync::Arc;

use client::{Change, Index, Informer, Key, Queue, Recorder, Requeue, answer, owner_reference};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use objects::owner::controller_of;

use self::expectations::Expectations;
use crate::{
    Context, Error,
    feed::{feed_own, observe},
    ownership::{self, Claim},
    selecting,
};

mod expectations;
mod plan;
mod pods;
mod ranking;
mod status;

const ACCOUNT: &str = "replicaset-controller";
/// ReplicaSets that are worked on at a time.
const WORKERS: usize = 5;

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (sets, pods) = (cx.informers.of::<ReplicaSet>(), cx.informers.of::<Pod>());
    sets.synced().await;
    pods.synced().await;
    let controller = Arc::new(ReplicaSets {
        by_controller: ownership::pods_by_controller(&pods),
        siblings: sets.index_by(ownership::BY_CONTROLLER, ownership::controller_uid),
        sets,
        client: cx.client(ACCOUNT),
        recorder: cx.recorder(ACCOUNT, ACCOUNT),
        expectations: Expectations::default(),
        queue: Queue::named("replicaset"),
    });
    feed_own(&controller.sets, &controller.queue);
    let watcher = controller.clone();
    observe(&pods, move |change| watcher.observe(&change));
    client::work(controller.queue.clone(), WORKERS, |key| controller.sync(key), cx.cancel.clone()).await;
    Ok(())
}

struct ReplicaSets {
    sets: Informer<ReplicaSet>,
    siblings: Index<ReplicaSet>,
    by_controller: Index<Pod>,
    client: kube::Client,
    recorder: Recorder,
    expectations: Expectations,
    queue: Queue<Key>,
}

impl ReplicaSets {
    /// Takes note of a pod's change and wakes the sets it concerns.
    fn observe(&self, change: &Change<Pod>) {
        let pod = change.object();
        let (created, gone) = match change {
            Change::Applied { old, new } => (old.is_none(), new.metadata.deletion_timestamp.is_some()),
            Change::Deleted(_) => (false, true),
        };
        if let Change::Applied { old: Some(old), .. } = change
            && controller_of(&old.metadata) != controller_of(&pod.metadata)
        {
            self.queue_owner(&old.metadata);
        }
        match self.queue_owner(&pod.metadata) {
            Some(set) if gone => self.expectations.deletion_observed(&set, pod.metadata.uid.as_deref()),
            Some(set) if created => self.expectations.creation_observed(&set),
            Some(_) => {}
            None if controller_of(&pod.metadata).is_none() && !gone => self.queue_matching(pod),
            None => {}
        }
    }

    /// Wakes the set that controls the object, if it is one of ours.
    fn queue_owner(&self, meta: &ObjectMeta) -> Option<Key> {
        let owner = controller_of(meta).filter(|owner| owner.kind == "ReplicaSet")?;
        let set = self.sets.get(meta.namespace.as_deref()?, &owner.name)?;
        let key = (set.metadata.uid.as_deref() == Some(&owner.uid)).then(|| Key::of(&*set))?;
        self.queue.add(key.clone());
        Some(key)
    }

    /// Wakes the sets that might adopt an orphan.
    fn queue_matching(&self, pod: &Pod) {
        for set in self.sets.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = set.spec.as_ref().filter(|spec| !selecting::is_empty(&spec.selector));
            let selector = selector.and_then(|spec| selecting::selector(&spec.selector).ok());
            if selector.is_some_and(|selector| selecting::selects(&selector, &pod.metadata)) {
                self.queue.add(Key::of(&*set));
            }
        }
    }

    async fn sync(&self, key: Key) -> Result<Requeue, Error> {
        let Some(set) = self.sets.get_key(&key) else {
            self.expectations.forget(&key);
            return Ok(Requeue::No);
        };
        let Some(spec) = &set.spec else { return Ok(Requeue::No) };
        let settled = self.expectations.satisfied(&key, tokio::time::Instant::now());
        let claim =
            ownership::claim(&set.metadata, &selecting::selector(&spec.selector)?, self.candidates(&set));
        let pods = self.settle_ownership(&set, claim).await?;
        let now = Timestamp::now();
        let plan = plan::plan(&set, pods, &self.related(&set), settled, now);
        let outcome = self.apply(&key, &set, &plan).await;
        let failure = outcome.as_ref().err().map(Error::message);
        let status = status::calculate(&set, &plan, failure, now);
        self.write_status(&set, status).await?;
        outcome?;
        Ok(plan.next_check.map_or(Requeue::No, Requeue::After))
    }

    /// The pods of the set and the orphans beside them.
    fn candidates(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let mut pods = self.by_controller.get(set.metadata.uid.as_deref().unwrap_or_default());
        let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
        let orphans = self.by_controller.get(&ownership::orphans(namespace));
        pods.extend(orphans.into_iter().filter(|pod| objects::pod::is_active(pod)));
        pods
    }

    /// All pods of the sets that have the same controller as this one: where they run tells which node is crowded.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let siblings = match controller_of(&set.metadata) {
            Some(owner) => self.siblings.get(&owner.uid),
            None => Vec::new(),
        };
        let mut uids: Vec<&str> = siblings.iter().filter_map(|set| set.metadata.uid.as_deref()).collect();
        if uids.is_empty() {
            uids.extend(set.metadata.uid.as_deref());
        }
        uids.into_iter().flat_map(|uid| self.by_controller.get(uid)).collect()
    }

    /// Adopts and releases, and gives back the pods that belong to the set.
    async fn settle_ownership(&self, set: &ReplicaSet, claim: Claim<Pod>) -> Result<Vec<Arc<Pod>>, Error> {
        let mut pods = claim.keep;
        if !claim.adopt.is_empty() {
            self.check_alive(set).await?;
        }
        for pod in claim.adopt {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            self.patch_pod(&pod, ownership::adopt_patch(&owner_reference(set), uid)).await?;
            pods.push(pod);
        }
        for pod in claim.release {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            let owner = set.metadata.uid.as_deref().unwrap_or_default();
            match self.patch_pod(&pod, ownership::release_patch(owner, uid)).await {
                // Gone, or a different pod by now: released either way.
                Err(error) if answer::is_not_found(&error) || answer::is_invalid(&error) => {}
                other => other?,
            }
        }
        Ok(pods)
    }

    /// Before adopting anything, makes sure by a direct read that the set is not being deleted.
    async fn check_alive(&self, set: &ReplicaSet) -> Result<(), Error> {
        let fresh = self.api(set).get(set.metadata.name.as_deref().unwrap_or_default()).await?;
        if fresh.metadata.uid != set.metadata.uid || fresh.metadata.deletion_timestamp.is_some() {
            return Err(Error::Stale(format!("{} has just been deleted", Key::of(set))));
        }
        Ok(())
    }

    async fn patch_pod(&self, pod: &Pod, patch: serde_json::Value) -> kube::Result<()> {
        let api = Api::<Pod>::namespaced(
            self.client.clone(),
            pod.metadata.namespace.as_deref().unwrap_or_default(),
        );
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop)
    }

    async fn write_status(&self, set: &ReplicaSet, status: ReplicaSetStatus) -> Result<(), Error> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let set = ReplicaSet { status: Some(status), ..set.clone() };
        let name = set.metadata.name.clone().unwrap_or_default();
        match self.api(&set).replace_status(&name, &PostParams::default(), &set).await {
            Err(error) if answer::is_not_found(&error) => Ok(()),
            other => other.map(drop).map_err(Error::from),
        }
    }

    fn api(&self, set: &ReplicaSet) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), set.metadata.namespace.as_deref().unwrap_or_default())
    }
}
