//! Who belongs to a controller: which objects it adopts, releases or keeps (upstream `controller_ref_manager`).
//!
//! [`claim`] is pure; the patches that [`adopt_patch`] and [`release_patch`] build are applied by the controllers.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::Pod,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;
use machinery::selector::label::Selector;
use objects::owner::controller_of;
use serde_json::{Value, json};

use crate::selecting::selects;

/// What becomes of the candidates.
#[derive(Debug)]
pub(crate) struct Claim<K> {
    /// Owned already, and still selected.
    pub(crate) keep: Vec<Arc<K>>,
    /// Selected and without an owner.
    pub(crate) adopt: Vec<Arc<K>>,
    /// Owned, but no longer selected.
    pub(crate) release: Vec<Arc<K>>,
}

/// Sorts `candidates` by what `owner` is to do with them. An owner being deleted neither adopts nor releases.
pub(crate) fn claim<K: Resource>(
    owner: &ObjectMeta,
    selector: &Selector,
    candidates: Vec<Arc<K>>,
) -> Claim<K> {
    let mut claim = Claim { keep: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let active = owner.deletion_timestamp.is_none();
    for candidate in candidates {
        let meta = candidate.meta();
        let selected = selects(selector, meta);
        match controller_of(meta) {
            Some(controller) if owner.uid.as_deref() != Some(&controller.uid) => {}
            Some(_) if selected => claim.keep.push(candidate),
            Some(_) if active => claim.release.push(candidate),
            None if selected && active && meta.deletion_timestamp.is_none() => claim.adopt.push(candidate),
            _ => {}
        }
    }
    claim
}

/// The strategic merge patch by which `owner` adopts the object of that UID, provided it still is that object.
pub(crate) fn adopt_patch(owner: &OwnerReference, uid: &str) -> Value {
    json!({"metadata": {"ownerReferences": [owner], "uid": uid}})
}

/// The strategic merge patch by which the owner of UID `owner` lets the object of that UID go.
pub(crate) fn release_patch(owner: &str, uid: &str) -> Value {
    json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner}], "uid": uid}})
}

/// Index value of objects by the UID of their controller; those without one stand under [`orphans`] of their namespace.
pub(crate) fn controller_uid<K: Resource>(object: &K) -> Option<String> {
    let meta = object.meta();
    Some(match controller_of(meta) {
        Some(owner) => owner.uid.clone(),
        None => orphans(meta.namespace.as_deref().unwrap_or_default()),
    })
}

/// Index value of the objects in `namespace` that have no controller.
pub(crate) fn orphans(namespace: &str) -> String {
    format!("orphans/{namespace}")
}

/// Name of the index over [`controller_uid`].
pub(crate) const BY_CONTROLLER: &str = "controller";

/// The index of pods by their controller.
pub(crate) fn pods_by_controller(pods: &client::Informer<Pod>) -> client::Index<Pod> {
    pods.index_by(BY_CONTROLLER, controller_uid)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

    use super::*;
    use crate::selecting::selector;

    /// One candidate with label `app` and an owner, claimed by owner `me` that selects `app=a`.
    fn check(label: &str, owner: Option<&str>, owner_deleted: bool, expected: &str) {
        let metadata = ObjectMeta {
            labels: Some([("app".into(), label.into())].into()),
            owner_references: owner.map(|uid| {
                vec![OwnerReference { uid: uid.into(), controller: Some(true), ..OwnerReference::default() }]
            }),
            ..ObjectMeta::default()
        };
        let me = ObjectMeta {
            uid: Some("me".into()),
            deletion_timestamp: owner_deleted.then(|| jiff::Timestamp::UNIX_EPOCH.into()),
            ..ObjectMeta::default()
        };
        let selects = LabelSelector {
            match_labels: Some([("app".into(), "a".into())].into()),
            ..LabelSelector::default()
        };
        let pod = Arc::new(Pod { metadata, ..Pod::default() });
        let claim = claim(&me, &selector(&selects).unwrap(), vec![pod]);
        let outcome = match (claim.keep.len(), claim.adopt.len(), claim.release.len()) {
            (1, 0, 0) => "keep",
            (0, 1, 0) => "adopt",
            (0, 0, 1) => "release",
            _ => "ignore",
        };
        assert_eq!(outcome, expected, "label {label}, owner {owner:?}, owner deleted: {owner_deleted}");
    }

    #[test]
    fn selection_and_ownership_decide() {
        check("a", Some("me"), false, "keep");
        check("a", Some("other"), false, "ignore");
        check("a", None, false, "adopt");
        check("b", None, false, "ignore");
        check("b", Some("me"), false, "release");
        check("a", None, true, "ignore");
        check("b", Some("me"), true, "ignore");
    }
}
