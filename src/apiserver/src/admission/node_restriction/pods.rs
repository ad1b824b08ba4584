//! What a kubelet may do to pods: create mirrors of its static pods, report the status of those bound to it, delete and
//! evict them.

use api::Object;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume, VolumeProjection};
use machinery::Status;
use store::Key;

use super::super::{Attributes, Operation};

const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn pod(
    attributes: &Attributes<'_>,
    node: &str,
    new: Option<&Object>,
    old: Option<&Object>,
) -> Result<(), Status> {
    match (attributes.operation, typed(new), typed(old)) {
        (Operation::Create, Some(pod), _) => mirror(attributes, node, pod),
        (Operation::Delete, _, Some(pod)) if is_bound(pod, node) => Ok(()),
        (Operation::Delete, _, _) => Err(attributes
            .forbidden(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))),
        (operation, _, _) => Err(attributes.forbidden(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            format!("{operation:?}").to_uppercase()
        ))),
    }
}

pub(super) fn status(
    attributes: &Attributes<'_>,
    node: &str,
    new: Option<&Object>,
    old: Option<&Object>,
) -> Result<(), Status> {
    let (Some(new), Some(old)) = (typed(new), typed(old)) else {
        return Err(attributes.forbidden("unexpected operation"));
    };
    if !is_bound(old, node) {
        let why =
            format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
        return Err(attributes.forbidden(why));
    }
    if old.metadata.labels.clone().unwrap_or_default() != new.metadata.labels.clone().unwrap_or_default() {
        return Err(attributes.forbidden(format!("node {node:?} cannot update labels through pod status")));
    }
    Ok(())
}

pub(super) fn eviction(attributes: &Attributes<'_>, node: &str) -> Result<(), Status> {
    let key = Key::new("", "pods", attributes.namespace, attributes.name);
    let entry = attributes.call.server.store.get(&key);
    let resource = attributes.kind.resource.group_resource();
    let entry = entry.ok_or_else(|| Status::not_found(&resource, attributes.name))?;
    let pod: Pod = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
    if is_bound(&pod, node) {
        return Ok(());
    }
    Err(attributes.forbidden(format!("node {node} can only evict pods with spec.nodeName set to itself")))
}

/// A mirror pod is bound to its node, owned by it, and needs nothing from the API: a kubelet must not gain what a pod of
/// its own making would be given.
fn mirror(attributes: &Attributes<'_>, node: &str, pod: &Pod) -> Result<(), Status> {
    let annotations = pod.metadata.annotations.as_ref();
    if !annotations.is_some_and(|all| all.contains_key(MIRROR)) {
        let why =
            format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods");
        return Err(attributes.forbidden(why));
    }
    if !is_bound(pod, node) {
        let why = format!("node {node:?} can only create pods with spec.nodeName set to itself");
        return Err(attributes.forbidden(why));
    }
    owner(attributes, node, pod)?;
    match pod.spec.as_ref().and_then(needs_api) {
        None => Ok(()),
        Some(what) => {
            Err(attributes.forbidden(format!("node {node:?} can not create pods that reference {what}")))
        }
    }
}

fn owner(attributes: &Attributes<'_>, node: &str, pod: &Pod) -> Result<(), Status> {
    let refuse =
        |what: &str| Err(attributes.forbidden(format!("node {node:?} can only create pods with {what}")));
    let owner = match pod.metadata.owner_references.as_deref().unwrap_or_default() {
        [] => return refuse("an owner reference set to itself"),
        [owner] => owner,
        _ => return refuse("a single owner reference set to itself"),
    };
    if owner.api_version != "v1" || owner.kind != "Node" || owner.name != node {
        return refuse("an owner reference set to itself");
    }
    if owner.controller != Some(true) {
        return refuse("a controller owner reference set to itself");
    }
    if owner.block_owner_deletion == Some(true) {
        let why = format!("node {node:?} must not set blockOwnerDeletion on an owner reference");
        return Err(attributes.forbidden(why));
    }
    let entry = attributes.call.server.store.get(&Key::new("", "nodes", "", node));
    let entry =
        entry.ok_or_else(|| Status::not_found(&machinery::gvk::GroupResource::new("", "nodes"), node))?;
    if *entry.attributes.uid != *owner.uid {
        let (expected, given) = (&owner.uid, &entry.attributes.uid);
        return Err(
            attributes.forbidden(format!("node {node} UID mismatch: expected {expected} got {given}"))
        );
    }
    Ok(())
}

/// What of the API a pod needs, if anything (upstream `pod.HasAPIObjectReference`).
fn needs_api(spec: &PodSpec) -> Option<&'static str> {
    if spec.service_account_name.as_ref().is_some_and(|name| !name.is_empty()) {
        return Some("serviceaccounts");
    }
    if spec.image_pull_secrets.as_ref().is_some_and(|list| !list.is_empty()) {
        return Some("secrets");
    }
    let init = spec.init_containers.iter().flatten();
    if let Some(what) = spec.containers.iter().chain(init).find_map(environment) {
        return Some(what);
    }
    // Only debugging adds ephemeral containers, and never at creation.
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("resourceclaims");
    }
    spec.volumes.iter().flatten().find_map(volume)
}

fn environment(container: &Container) -> Option<&'static str> {
    let from = || container.env_from.iter().flatten();
    let keys = || container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
    if from().any(|source| source.secret_ref.is_some()) || keys().any(|key| key.secret_key_ref.is_some()) {
        return Some("secrets");
    }
    let maps = from().any(|source| source.config_map_ref.is_some())
        || keys().any(|key| key.config_map_key_ref.is_some());
    maps.then_some("configmaps")
}

fn volume(volume: &Volume) -> Option<&'static str> {
    let named = [
        (volume.config_map.is_some(), "configmaps (via configmap volumes)"),
        (volume.secret.is_some(), "secrets (via secret volumes)"),
        (volume.csi.is_some(), "csidrivers (via CSI volumes)"),
        (volume.glusterfs.is_some(), "endpoints (via glusterFS volumes)"),
        (volume.persistent_volume_claim.is_some(), "persistentvolumeclaims"),
        (volume.ephemeral.is_some(), "persistentvolumeclaims (via ephemeral volumes)"),
        (volume.azure_file.is_some(), "secrets (via azureFile volumes)"),
    ];
    let projected = volume.projected.as_ref().and_then(|projected| projected.sources.as_deref());
    let first = named.into_iter().find_map(|(given, what)| given.then_some(what));
    first.or_else(|| projected.unwrap_or_default().iter().find_map(projection))
}

fn projection(source: &VolumeProjection) -> Option<&'static str> {
    let named = [
        (source.config_map.is_some(), "configmaps (via projected volumes)"),
        (source.secret.is_some(), "secrets (via projected volumes)"),
        (source.service_account_token.is_some(), "serviceaccounts (via projected volumes)"),
        (source.cluster_trust_bundle.is_some(), "clustertrustbundles"),
        (source.pod_certificate.is_some(), "podcertificates"),
    ];
    named.into_iter().find_map(|(given, what)| given.then_some(what))
}

fn typed(object: Option<&Object>) -> Option<&Pod> {
    object.and_then(Object::downcast_ref::<Pod>)
}

fn is_bound(pod: &Pod, node: &str) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)
}
