//! What a kubelet may do to its own Node: nothing that steers pods to it (taints, most labels) and nothing that decides who
//! deletes it (owners).

use std::collections::{BTreeMap, BTreeSet};

use api::Object;
use k8s_openapi::api::core::v1::{Node, Taint};
use machinery::Status;

use super::super::Attributes;

/// Labels of these namespaces, and of those below them, are the administrator's alone.
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// Kubernetes' own namespaces, in which a kubelet may set what [`is_kubelets`] names.
const KUBERNETES: [&str; 2] = ["kubernetes.io", "k8s.io"];
/// Namespaces in which a kubelet may set any label.
const KUBELETS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
/// Single labels that it may set (upstream `kubelet/pkg/apis.KubeletLabels`).
const LABELS: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

pub(super) fn own(
    attributes: &Attributes<'_>,
    node: &str,
    new: Option<&Object>,
    old: Option<&Object>,
) -> Result<(), Status> {
    if attributes.name != node {
        let why = format!("node {node:?} is not allowed to modify node {:?}", attributes.name);
        return Err(attributes.forbidden(why));
    }
    let Some(new) = new.and_then(Object::downcast_ref::<Node>) else { return Ok(()) };
    match old.and_then(Object::downcast_ref::<Node>) {
        None => created(attributes, node, new),
        Some(old) => updated(attributes, node, new, old),
    }
}

fn created(attributes: &Attributes<'_>, node: &str, new: &Node) -> Result<(), Status> {
    match forbidden(&labels(new), &BTreeMap::new()) {
        keys if keys.is_empty() => Ok(()),
        keys => {
            Err(attributes
                .forbidden(format!("node {node:?} is not allowed to set the following labels: {keys}")))
        }
    }
}

fn updated(attributes: &Attributes<'_>, node: &str, new: &Node, old: &Node) -> Result<(), Status> {
    if taints(new) != taints(old) {
        return Err(attributes.forbidden(format!("node {node:?} is not allowed to modify taints")));
    }
    let owners = |node: &Node| node.metadata.owner_references.clone().unwrap_or_default();
    if owners(new) != owners(old) {
        return Err(attributes.forbidden(format!("node {node:?} is not allowed to modify ownerReferences")));
    }
    match forbidden(&labels(new), &labels(old)) {
        keys if keys.is_empty() => Ok(()),
        keys => Err(attributes.forbidden(format!("is not allowed to modify labels: {keys}"))),
    }
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

fn labels(node: &Node) -> BTreeMap<String, String> {
    node.metadata.labels.clone().unwrap_or_default()
}

/// The labels that differ and that a kubelet may not touch, listed.
fn forbidden(new: &BTreeMap<String, String>, old: &BTreeMap<String, String>) -> String {
    let keys: BTreeSet<&str> = new.keys().chain(old.keys()).map(String::as_str).collect();
    let touched = keys.into_iter().filter(|key| new.get(*key) != old.get(*key) && !may_set(key));
    touched.collect::<Vec<_>>().join(", ")
}

fn may_set(key: &str) -> bool {
    let Some((namespace, _)) = key.split_once('/') else { return true };
    if is_within(namespace, RESTRICTED) {
        return false;
    }
    let is_kubernetes = KUBERNETES.iter().any(|own| is_within(namespace, own));
    !is_kubernetes || LABELS.contains(&key) || KUBELETS.iter().any(|own| is_within(namespace, own))
}

fn is_within(namespace: &str, own: &str) -> bool {
    namespace.strip_suffix(own).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_sets_its_own_labels_and_strangers_but_not_the_administrators() {
        for fine in [
            "a",
            "example.com/a",
            "kubernetes.io/hostname",
            "node.kubernetes.io/a",
            "b.kubelet.kubernetes.io/a",
            "notkubernetes.io/a",
        ] {
            assert!(may_set(fine), "{fine}");
        }
        for refused in [
            "node-restriction.kubernetes.io/a",
            "x.node-restriction.kubernetes.io/a",
            "node-role.kubernetes.io/control-plane",
            "kubernetes.io/a",
            "x.k8s.io/a",
        ] {
            assert!(!may_set(refused), "{refused}");
        }
    }
}
