//! Moves ReplicaSets so that a Deployment's pods become what its template says (upstream `pkg/controller/deployment`).
//!
//! Keys are Deployments; they come from them and from their ReplicaSets. Everything is decided in [`plan`]; this file
//! watches, claims ReplicaSets and carries the plan out.

use std::sync::Arc;

use client::{EventType, Index, Informer, Key, Queue, Recorder, Requeue, answer, owner_reference, reference};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use objects::owner::{controller_of, is_controlled_by};

use self::plan::{Plan, Step};
use crate::{
    Context, Error,
    feed::{feed, feed_own},
    ignore_absent,
    ownership::{self, Claim},
    selecting,
};

mod conditions;
mod draft;
mod plan;
mod rollout;
mod sets;
mod sizes;
mod status;

#[cfg(test)]
mod tests;

const ACCOUNT: &str = "deployment-controller";
const WORKERS: usize = 5;

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let deployments = cx.informers.of::<Deployment>();
    let (sets, pods) = (cx.informers.of::<ReplicaSet>(), cx.informers.of::<Pod>());
    deployments.synced().await;
    sets.synced().await;
    pods.synced().await;
    let controller = Deployments {
        sets: sets.index_by(ownership::BY_CONTROLLER, ownership::controller_uid),
        pods: ownership::pods_by_controller(&pods),
        client: cx.client(ACCOUNT),
        recorder: cx.recorder(ACCOUNT, ACCOUNT),
        deployments: deployments.clone(),
    };
    let queue = Queue::named("deployment");
    feed_own(&deployments, &queue);
    feed(&sets, &queue, move |change| concerned(&deployments, change.object()));
    client::work(queue, WORKERS, |key| controller.sync(key), cx.cancel.clone()).await;
    Ok(())
}

/// The Deployments to wake for a ReplicaSet: its owner, or whoever might adopt it.
fn concerned(deployments: &Informer<Deployment>, set: &ReplicaSet) -> Vec<Key> {
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(owner) = controller_of(&set.metadata) {
        let known = deployments.get(namespace, &owner.name).filter(|_| owner.kind == "Deployment");
        let ours = known.filter(|deployment| deployment.metadata.uid.as_deref() == Some(&owner.uid));
        return ours.map(|deployment| Key::of(&*deployment)).into_iter().collect();
    }
    let matching = deployments.in_namespace(namespace).into_iter().filter(|deployment| {
        let selector = deployment.spec.as_ref().map(|spec| &spec.selector);
        let selector = selector.filter(|selector| !selecting::is_empty(selector));
        selector
            .and_then(|selector| selecting::selector(selector).ok())
            .is_some_and(|selector| selecting::selects(&selector, &set.metadata))
    });
    matching.map(|deployment| Key::of(&*deployment)).collect()
}

struct Deployments {
    deployments: Informer<Deployment>,
    sets: Index<ReplicaSet>,
    pods: Index<Pod>,
    client: kube::Client,
    recorder: Recorder,
}

impl Deployments {
    async fn sync(&self, key: Key) -> Result<Requeue, Error> {
        let Some(deployment) = self.deployments.get_key(&key) else { return Ok(Requeue::No) };
        let Some(spec) = &deployment.spec else { return Ok(Requeue::No) };
        if selecting::is_empty(&spec.selector) {
            return self.refuse_to_select_all(&deployment).await;
        }
        let sets = self.own_sets(&deployment, &selecting::selector(&spec.selector)?).await?;
        let plan = plan::plan(&deployment, &sets, |new| self.old_pods_run(&sets, new), Timestamp::now());
        self.apply(&deployment, &plan).await?;
        Ok(plan.next_check.map_or(Requeue::No, Requeue::After))
    }

    async fn refuse_to_select_all(&self, deployment: &Deployment) -> Result<Requeue, Error> {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.recorder.event(&reference(deployment), EventType::Warning, "SelectingAll", message);
        let mut seen = deployment.clone();
        seen.status.get_or_insert_default().observed_generation = deployment.metadata.generation;
        if deployment.status != seen.status {
            self.write_status(&seen).await?;
        }
        Ok(Requeue::No)
    }

    /// Adopts and releases ReplicaSets and gives back those that are the Deployment's.
    async fn own_sets(
        &self,
        deployment: &Deployment,
        selector: &machinery::selector::label::Selector,
    ) -> Result<Vec<Arc<ReplicaSet>>, Error> {
        let mut candidates = self.sets.get(deployment.metadata.uid.as_deref().unwrap_or_default());
        let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
        candidates.extend(self.sets.get(&ownership::orphans(namespace)));
        let Claim { mut keep, adopt, release } = ownership::claim(&deployment.metadata, selector, candidates);
        if !adopt.is_empty() {
            self.check_alive(deployment).await?;
        }
        for set in adopt {
            let uid = set.metadata.uid.as_deref().unwrap_or_default();
            self.patch_set(&set, ownership::adopt_patch(&owner_reference(deployment), uid)).await?;
            keep.push(set);
        }
        for set in release {
            let uid = set.metadata.uid.as_deref().unwrap_or_default();
            let owner = deployment.metadata.uid.as_deref().unwrap_or_default();
            match self.patch_set(&set, ownership::release_patch(owner, uid)).await {
                Err(error) if answer::is_not_found(&error) || answer::is_invalid(&error) => {}
                other => other?,
            }
        }
        Ok(keep)
    }

    async fn check_alive(&self, deployment: &Deployment) -> Result<(), Error> {
        let fresh = self.api(deployment).get(deployment.metadata.name.as_deref().unwrap_or_default()).await?;
        if fresh.metadata.uid != deployment.metadata.uid || fresh.metadata.deletion_timestamp.is_some() {
            return Err(Error::Stale(format!("{} has just been deleted", Key::of(deployment))));
        }
        Ok(())
    }

    async fn patch_set(&self, set: &ReplicaSet, patch: serde_json::Value) -> kube::Result<()> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        self.sets_api(set).patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop)
    }

    /// Whether any pod of a set other than `new` has not ended yet.
    fn old_pods_run(&self, sets: &[Arc<ReplicaSet>], new: Option<&str>) -> bool {
        let old = sets.iter().filter_map(|set| set.metadata.uid.as_deref()).filter(|uid| Some(*uid) != new);
        old.flat_map(|uid| self.pods.get(uid)).any(|pod| !objects::pod::is_terminal(&pod))
    }

    async fn apply(&self, deployment: &Deployment, plan: &Plan) -> Result<(), Error> {
        for step in &plan.steps {
            match step {
                Step::Create(set) => self.create_set(deployment, set).await?,
                Step::Update { set, scaled } => self.update_set(deployment, set, *scaled).await?,
                Step::Delete(set) => self.delete_set(set).await?,
            }
        }
        match &plan.deployment {
            Some(deployment) => self.write_status(deployment).await,
            None => Ok(()),
        }
    }

    async fn create_set(&self, deployment: &Deployment, set: &ReplicaSet) -> Result<(), Error> {
        let error = match self.sets_api(set).create(&PostParams::default(), set).await {
            Ok(created) => {
                let size = sets::replicas(&created);
                if size > 0 {
                    self.scaled(deployment, &created, (0, size));
                }
                return Ok(());
            }
            Err(error) => error,
        };
        if answer::is_already_exists(&error) {
            self.resolve_collision(deployment, set).await?;
        } else if !answer::is_namespace_terminating(&error) {
            let name = set.metadata.name.as_deref().unwrap_or_default();
            let message = format!("Failed to create new replica set \"{name}\": {}", answer::message(&error));
            self.recorder.event(
                &reference(deployment),
                EventType::Warning,
                conditions::FAILED_CREATE,
                message.clone(),
            );
            if let Some(failed) = conditions::failed_to_create(deployment, message, Timestamp::now()) {
                self.write_status(&failed).await?;
            }
        }
        Err(error.into())
    }

    /// A ReplicaSet of that name exists: if it is not ours with our template, another hash is needed.
    async fn resolve_collision(&self, deployment: &Deployment, set: &ReplicaSet) -> Result<(), Error> {
        let existing = self.sets_api(set).get(set.metadata.name.as_deref().unwrap_or_default()).await?;
        let ours =
            is_controlled_by(&existing.metadata, deployment.metadata.uid.as_deref().unwrap_or_default());
        if ours && sets::has_template_of(&existing, deployment) {
            return Err(Error::Stale(format!("replica set {} is not in the cache yet", Key::of(&existing))));
        }
        let mut bumped = deployment.clone();
        let count = bumped.status.get_or_insert_default().collision_count.get_or_insert(0);
        *count += 1;
        self.write_status(&bumped).await
    }

    async fn update_set(
        &self,
        deployment: &Deployment,
        set: &ReplicaSet,
        scaled: Option<(i32, i32)>,
    ) -> Result<(), Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let updated = self.sets_api(set).replace(name, &PostParams::default(), set).await?;
        if let Some(sizes) = scaled {
            self.scaled(deployment, &updated, sizes);
        }
        Ok(())
    }

    fn scaled(&self, deployment: &Deployment, set: &ReplicaSet, (from, to): (i32, i32)) {
        let direction = if from < to { "up" } else { "down" };
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
        self.recorder.event(&reference(deployment), EventType::Normal, "ScalingReplicaSet", message);
    }

    async fn delete_set(&self, set: &ReplicaSet) -> Result<(), Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        ignore_absent(self.sets_api(set).delete(name, &DeleteParams::default()).await)
    }

    /// Writes status and revision annotation, which the status subresource lets through.
    async fn write_status(&self, deployment: &Deployment) -> Result<(), Error> {
        let name = deployment.metadata.name.as_deref().unwrap_or_default();
        ignore_absent(self.api(deployment).replace_status(name, &PostParams::default(), deployment).await)
    }

    fn api(&self, deployment: &Deployment) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), deployment.metadata.namespace.as_deref().unwrap_or_default())
    }

    fn sets_api(&self, set: &ReplicaSet) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), set.metadata.namespace.as_deref().unwrap_or_default())
    }
}
