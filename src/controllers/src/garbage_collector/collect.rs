//! Looking at one object and doing what has to be done: the collector's reads and writes.

use client::{Requeue, answer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy},
};
use machinery::meta::has_finalizer;
use serde_json::{Value, json};

use super::{
    Collector, FOREGROUND_FINALIZER, ORPHAN_FINALIZER, Work,
    decision::{Decision, OwnerState, decide},
    graph::{Dependent, Place, View},
};
use crate::Error;

impl Collector {
    pub(super) async fn work(&self, work: Work) -> Result<Requeue, Error> {
        match work {
            Work::Delete(uid) => self.look_at(&uid).await,
            Work::Orphan(uid) => self.orphan_dependents(&uid).await,
        }
        .map(|()| Requeue::No)
    }

    /// Deletes the object if nothing keeps it, or ends its waiting for dependents that are gone.
    async fn look_at(&self, uid: &str) -> Result<(), Error> {
        let view = self.graph().view(uid);
        let Some(view) = view.filter(|view| !view.is_deleting || view.is_waiting) else { return Ok(()) };
        let Some(latest) = self.latest(uid, &view.place).await? else {
            self.change(|graph| graph.remove(uid));
            return Ok(());
        };
        if view.is_waiting {
            return self.await_dependents(&view, &latest).await;
        }
        self.collect(uid, &view, latest).await
    }

    /// Ends foreground deletion once nothing blocks it; what still does is looked at.
    async fn await_dependents(&self, view: &View, latest: &ObjectMeta) -> Result<(), Error> {
        let blocking: Vec<&Dependent> =
            view.dependents.iter().filter(|dependent| dependent.is_blocking).collect();
        if blocking.is_empty() {
            return self.remove_finalizer(&view.place, latest, FOREGROUND_FINALIZER).await;
        }
        for dependent in blocking.iter().filter(|dependent| !dependent.is_waiting) {
            self.queue.add(Work::Delete(dependent.uid.clone()));
        }
        Ok(())
    }

    async fn collect(&self, uid: &str, view: &View, latest: ObjectMeta) -> Result<(), Error> {
        let mut owners = Vec::new();
        for owner in latest.owner_references.clone().unwrap_or_default() {
            let Some(state) = self.state_of(&owner, &view.place).await? else { return Ok(()) };
            owners.push((owner, state));
        }
        let dependent_waits = view.dependents.iter().any(|dependent| dependent.is_waiting);
        match decide(owners, !view.dependents.is_empty(), dependent_waits, asked_policy(&latest)) {
            Decision::Keep => Ok(()),
            Decision::KeepWith(owners) => self.set_owners(&view.place, &latest, owners).await.map(drop),
            Decision::Delete { policy, unblock } => {
                let latest = if unblock { self.unblock(&view.place, &latest).await? } else { latest };
                self.delete(uid, &view.place, &latest, policy).await
            }
        }
    }

    /// Whether an owner is there. `None` if the reference can never be resolved: it is reported, and nothing follows.
    async fn state_of(&self, owner: &OwnerReference, dependent: &Place) -> Result<Option<OwnerState>, Error> {
        if self.graph().is_absent(&owner.uid, &dependent.namespace) {
            return Ok(Some(OwnerState::Dangling));
        }
        let Some(kind) = self.kinds.of_owner(owner) else {
            let (kind, version) = (&owner.kind, &owner.api_version);
            return Err(Error::Unusable(format!("no matches for kind \"{kind}\" in version \"{version}\"")));
        };
        if self.kinds.list[kind].is_namespaced && dependent.namespace.is_empty() {
            tracing::warn!(owner = %owner.name, dependent = %dependent.name, "cluster-scoped objects cannot refer to namespaced owners");
            return Ok(None);
        }
        let place =
            Place { kind: Some(kind), namespace: dependent.namespace.clone(), name: owner.name.clone() };
        let Some(found) = self.latest(&owner.uid, &place).await? else {
            self.graph().note_absent(&owner.uid, &dependent.namespace);
            return Ok(Some(OwnerState::Dangling));
        };
        let waits = found.deletion_timestamp.is_some() && has_finalizer(&found, FOREGROUND_FINALIZER);
        Ok(Some(if waits { OwnerState::Waiting } else { OwnerState::Solid }))
    }

    /// The metadata of the object of that UID, read directly; `None` if it is not (or no longer) at its place.
    async fn latest(&self, uid: &str, place: &Place) -> Result<Option<ObjectMeta>, Error> {
        let found = self.api(place)?.get_metadata_opt(&place.name).await?;
        Ok(found.map(|object| object.metadata).filter(|meta| meta.uid.as_deref() == Some(uid)))
    }

    async fn delete(
        &self,
        uid: &str,
        place: &Place,
        latest: &ObjectMeta,
        policy: PropagationPolicy,
    ) -> Result<(), Error> {
        let preconditions =
            Preconditions { uid: Some(uid.to_owned()), resource_version: latest.resource_version.clone() };
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match self.api(place)?.delete(&place.name, &params).await {
            Err(error) if answer::is_not_found(&error) => {
                self.change(|graph| graph.remove(uid));
                Ok(())
            }
            other => other.map(drop).map_err(Error::from),
        }
    }

    /// Releases every dependent, then lets the owner go.
    async fn orphan_dependents(&self, uid: &str) -> Result<(), Error> {
        let view = self.graph().view(uid);
        let Some(view) = view else { return Ok(()) };
        for dependent in &view.dependents {
            if let Some(latest) = self.latest(&dependent.uid, &dependent.place).await? {
                let mut owners = latest.owner_references.clone().unwrap_or_default();
                owners.retain(|owner| owner.uid != uid);
                self.set_owners(&dependent.place, &latest, owners).await?;
            }
        }
        match self.latest(uid, &view.place).await? {
            Some(latest) => self.remove_finalizer(&view.place, &latest, ORPHAN_FINALIZER).await,
            None => Ok(()),
        }
    }

    /// Makes the object's references not block, so that a circle of waiting objects ends.
    async fn unblock(&self, place: &Place, latest: &ObjectMeta) -> Result<ObjectMeta, Error> {
        let mut owners = latest.owner_references.clone().unwrap_or_default();
        owners.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
        self.set_owners(place, latest, owners).await
    }

    async fn set_owners(
        &self,
        place: &Place,
        latest: &ObjectMeta,
        owners: Vec<OwnerReference>,
    ) -> Result<ObjectMeta, Error> {
        self.patch(place, latest, json!({"ownerReferences": owners})).await
    }

    async fn remove_finalizer(
        &self,
        place: &Place,
        latest: &ObjectMeta,
        finalizer: &str,
    ) -> Result<(), Error> {
        if !has_finalizer(latest, finalizer) {
            return Ok(());
        }
        let mut finalizers = latest.finalizers.clone().unwrap_or_default();
        finalizers.retain(|one| one != finalizer);
        self.patch(place, latest, json!({"finalizers": finalizers})).await.map(drop)
    }

    /// Changes metadata of the object as it was read; fails if it has changed since. One that is gone needs no change.
    async fn patch(
        &self,
        place: &Place,
        latest: &ObjectMeta,
        mut change: Value,
    ) -> Result<ObjectMeta, Error> {
        change["resourceVersion"] = json!(latest.resource_version);
        let patch = Patch::Merge(json!({"metadata": change}));
        match self.api(place)?.patch_metadata(&place.name, &PatchParams::default(), &patch).await {
            Ok(object) => Ok(object.metadata),
            Err(error) if answer::is_not_found(&error) => Ok(latest.clone()),
            Err(error) => Err(error.into()),
        }
    }

    fn api(&self, place: &Place) -> Result<Api<DynamicObject>, Error> {
        let kind =
            place.kind.ok_or_else(|| Error::Unusable(format!("the kind of {} is not served", place.name)))?;
        Ok(self.kinds.list[kind].objects(&self.client, &place.namespace))
    }
}

/// The policy that finalizers already on the object ask for.
fn asked_policy(meta: &ObjectMeta) -> PropagationPolicy {
    if has_finalizer(meta, ORPHAN_FINALIZER) {
        PropagationPolicy::Orphan
    } else if has_finalizer(meta, FOREGROUND_FINALIZER) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    }
}
