//! An ephemeral container is a container with a target: what is done to containers is done to it as one.

use k8s_openapi::api::core::v1::{Container, EphemeralContainer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::json;

const SAME: &str = "both types have the same fields but for the target";

/// The ephemeral container without its target.
pub(super) fn as_container(ephemeral: &EphemeralContainer) -> Container {
    json::from_tree(&json::to_tree(ephemeral).expect("a container is plain data")).expect(SAME)
}

/// Changes an ephemeral container as if it were any other.
pub(super) fn with_container(ephemeral: &mut EphemeralContainer, change: impl FnOnce(&mut Container)) {
    let target = ephemeral.target_container_name.take();
    let mut container = as_container(ephemeral);
    change(&mut container);
    *ephemeral = json::from_tree(&json::to_tree(&container).expect("a container is plain data")).expect(SAME);
    ephemeral.target_container_name = target;
}

/// Whoever adds a container for debugging changes nothing of the metadata (upstream: `ResetObjectMetaForStatus`).
pub(super) fn keep_metadata(new: &mut ObjectMeta, old: &ObjectMeta) {
    let kept = old.clone();
    new.deletion_timestamp = kept.deletion_timestamp;
    new.labels = kept.labels;
    new.annotations = kept.annotations;
    new.finalizers = kept.finalizers;
    new.owner_references = kept.owner_references;
    new.managed_fields = kept.managed_fields;
}
