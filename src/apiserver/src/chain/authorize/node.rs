//! The Node authorizer (upstream `plugin/pkg/auth/authorizer/node`): a kubelet may read what pods bound to its node refer
//! to, and act on its own node, lease and pods.
//!
//! Which pods those are it learns from [`NodePods`], a view of the store's pods that is brought up to date on each look.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use machinery::selector::field;

use super::{Attributes, Decision, Resource, Target};
use crate::mirror::Index;
use crate::server::Server;

/// Answers for users that are nodes; has no opinion about others.
pub(crate) fn authorize(server: &Server, attributes: &Attributes<'_>) -> Decision {
    let Some(node) = attributes.user.node_name() else {
        return no("");
    };
    if node.is_empty() {
        return no(&format!("unknown node for user {:?}", attributes.user.name));
    }
    if let Target::Resource(resource) = attributes.target {
        let question = Question { server, node, verb: attributes.verb, on: resource };
        match (resource.group, resource.resource) {
            ("", "secrets") => return question.read(Kind::Secret),
            ("", "configmaps") => return question.read(Kind::ConfigMap),
            ("", "persistentvolumeclaims") => return question.claim(),
            ("", "serviceaccounts") => return question.service_account(),
            ("", "nodes") => return question.own_node(),
            ("", "pods") => return question.pods(),
            ("coordination.k8s.io", "leases") => return question.lease(),
            ("resource.k8s.io", "resourceclaims") => return question.get(Kind::DeviceClaim),
            ("resource.k8s.io", "resourceslices") => return question.slice(),
            ("storage.k8s.io", "csinodes") => return question.own_drivers(),
            _ => {}
        }
    }
    let allowed = server.node_rules.iter().any(|rule| crate::rbac::rule_allows(attributes, rule));
    if allowed { yes() } else { no("") }
}

/// What a pod may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Secret,
    ConfigMap,
    Claim,
    ServiceAccount,
    Pod,
    /// A ResourceClaim.
    DeviceClaim,
}

struct Question<'a> {
    server: &'a Server,
    node: &'a str,
    verb: &'a str,
    on: Resource<'a>,
}

impl Question<'_> {
    fn read(&self, kind: Kind) -> Decision {
        if !matches!(self.verb, "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !self.on.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if self.on.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(kind)
    }

    fn get(&self, kind: Kind) -> Decision {
        if self.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !self.on.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(kind)
    }

    /// The devices that drivers on this node offer.
    fn slice(&self) -> Decision {
        if !self.on.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.verb {
            // Admission sees what is created.
            "create" => yes(),
            "get" | "update" | "patch" | "delete" => self.own_slice(),
            "watch" | "list" | "deletecollection" if self.selects_own_node() => yes(),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
            ),
        }
    }

    fn own_slice(&self) -> Decision {
        if self.on.name.is_empty() {
            return no("No Object name found");
        }
        let key = store::Key::new(self.on.group, self.on.resource, "", self.on.name);
        let slice = self.server.store.get(&key);
        let names_own =
            |(name, value): &(Box<str>, Box<str>)| &**name == "spec.nodeName" && **value == *self.node;
        let is_own = slice.is_some_and(|slice| slice.attributes.fields.iter().any(names_own));
        if is_own { yes() } else { self.unrelated() }
    }

    fn own_drivers(&self) -> Decision {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a CSINode");
        }
        if !self.on.subresource.is_empty() {
            return no("cannot authorize CSINode subresources");
        }
        if self.verb != "create" && self.on.name != self.node {
            return no("can only access CSINode with the same name as the requesting node");
        }
        yes()
    }

    fn claim(&self) -> Decision {
        match (self.on.subresource, self.verb) {
            ("status", "update" | "patch") | ("", "get") => self.related(Kind::Claim),
            ("status", _) => no("can only get/update/patch this type"),
            ("", _) => no("can only get individual resources of this type"),
            _ => no("cannot get subresource"),
        }
    }

    fn service_account(&self) -> Decision {
        match (self.verb, self.on.subresource) {
            ("get", "") => self.read(Kind::ServiceAccount),
            ("create", "token") if !self.on.name.is_empty() => self.related(Kind::ServiceAccount),
            ("create", _) if !self.on.name.is_empty() => {
                no("can only create token subresource of serviceaccount")
            }
            _ => no("can only create tokens for individual service accounts"),
        }
    }

    fn own_node(&self) -> Decision {
        let (node, name) = (self.node, self.on.name);
        match (self.on.subresource, self.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => yes(),
            ("", "get" | "list" | "watch") if name == node => yes(),
            ("", "get" | "list" | "watch") if name.is_empty() => {
                no(&format!("node '{node}' cannot read all nodes, only its own Node object"))
            }
            ("", "get" | "list" | "watch") => {
                no(&format!("node '{node}' cannot read '{name}', only its own Node object"))
            }
            _ => no(""),
        }
    }

    fn pods(&self) -> Decision {
        match (self.on.subresource, self.verb) {
            ("", "get") => self.related(Kind::Pod),
            ("", "list" | "watch") if self.selects_own_node() => yes(),
            ("", "list" | "watch") if !self.on.name.is_empty() => self.related(Kind::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => yes(),
            _ => no(""),
        }
    }

    fn selects_own_node(&self) -> bool {
        let selector = field::Selector::parse(self.on.field_selector);
        selector.is_ok_and(|selector| selector.requires_exact_match("spec.nodeName") == Some(self.node))
    }

    fn lease(&self) -> Decision {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.on.namespace != "kube-node-lease" {
            return no("can only access leases in the \"kube-node-lease\" system namespace");
        }
        if self.verb != "create" && self.on.name != self.node {
            return no("can only access node lease with the same name as the requesting node");
        }
        yes()
    }

    fn related(&self, kind: Kind) -> Decision {
        if self.on.name.is_empty() {
            return no("No Object name found");
        }
        let reference = (kind, self.on.namespace.to_owned(), self.on.name.to_owned());
        if self.server.node_pods.read(|pods| pods.is_related(self.node, &reference)) {
            yes()
        } else {
            self.unrelated()
        }
    }

    fn unrelated(&self) -> Decision {
        no(&format!("no relationship found between node '{}' and this object", self.node))
    }
}

fn yes() -> Decision {
    Decision::Allow(String::new())
}

fn no(reason: &str) -> Decision {
    Decision::NoOpinion(reason.to_owned())
}

type Reference = (Kind, String, String);

/// What the pods of each node refer to.
#[derive(Default)]
pub(crate) struct NodePods {
    /// Pod (key) → its node and references.
    pods: HashMap<store::Key, (String, Vec<Reference>)>,
    /// Node → references, with how many pods make each.
    nodes: HashMap<String, HashMap<Reference, usize>>,
}

impl NodePods {
    fn is_related(&self, node: &str, reference: &Reference) -> bool {
        self.nodes.get(node).is_some_and(|references| references.contains_key(reference))
    }
}

impl Index for NodePods {
    fn put(&mut self, entry: &store::Entry) {
        self.remove(&entry.key);
        let Ok(pod) = serde_json::from_slice::<Pod>(&entry.bytes) else {
            tracing::error!(key = entry.key.as_str(), "a stored pod cannot be read");
            return;
        };
        let Some(spec) =
            pod.spec.filter(|spec| spec.node_name.as_deref().is_some_and(|node| !node.is_empty()))
        else {
            return;
        };
        let node = spec.node_name.clone().expect("filtered above");
        let mut references = references(entry.key.namespace(), entry.key.name(), &spec);
        references.extend(device_claims(entry.key.namespace(), &spec, pod.status.as_ref()));
        let counts = self.nodes.entry(node.clone()).or_default();
        for reference in &references {
            *counts.entry(reference.clone()).or_default() += 1;
        }
        self.pods.insert(entry.key.clone(), (node, references));
    }

    fn remove(&mut self, key: &store::Key) {
        let Some((node, references)) = self.pods.remove(key) else { return };
        let Some(counts) = self.nodes.get_mut(&node) else { return };
        for reference in references {
            if let Some(count) = counts.get_mut(&reference) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&reference);
                }
            }
        }
        if counts.is_empty() {
            self.nodes.remove(&node);
        }
    }
}

/// The claims for devices that a pod uses, each once: those that it names, and those that were made for it, which its
/// status names.
fn device_claims(namespace: &str, spec: &PodSpec, status: Option<&PodStatus>) -> Vec<Reference> {
    let named = spec.resource_claims.iter().flatten();
    let made = status.and_then(|status| status.resource_claim_statuses.as_ref()).into_iter().flatten();
    let extended = status.and_then(|status| status.extended_resource_claim_status.as_ref());
    let names: HashSet<&str> = named
        .filter_map(|claim| claim.resource_claim_name.as_deref())
        .chain(made.filter_map(|claim| claim.resource_claim_name.as_deref()))
        .chain(extended.map(|claim| claim.resource_claim_name.as_str()))
        .collect();
    let names = names.into_iter().filter(|name| !name.is_empty());
    names.map(|name| (Kind::DeviceClaim, namespace.to_owned(), name.to_owned())).collect()
}

/// Everything that a pod's spec names, each once.
fn references(namespace: &str, pod: &str, spec: &PodSpec) -> Vec<Reference> {
    let mut found: HashSet<(Kind, &str)> = HashSet::from([(Kind::Pod, pod)]);
    found.extend(spec.service_account_name.iter().map(|name| (Kind::ServiceAccount, name.as_str())));
    found.extend(spec.image_pull_secrets.iter().flatten().map(|secret| (Kind::Secret, secret.name.as_str())));
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    for container in containers {
        for source in container.env_from.iter().flatten() {
            found.extend(source.secret_ref.iter().map(|source| (Kind::Secret, source.name.as_str())));
            found.extend(source.config_map_ref.iter().map(|source| (Kind::ConfigMap, source.name.as_str())));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            found.extend(source.secret_key_ref.iter().map(|key| (Kind::Secret, key.name.as_str())));
            found.extend(source.config_map_key_ref.iter().map(|key| (Kind::ConfigMap, key.name.as_str())));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        let secret = volume.secret.as_ref().and_then(|source| source.secret_name.as_deref());
        found.extend(secret.map(|name| (Kind::Secret, name)));
        found.extend(volume.config_map.iter().map(|source| (Kind::ConfigMap, source.name.as_str())));
        let claim = volume.persistent_volume_claim.as_ref();
        found.extend(claim.map(|source| (Kind::Claim, source.claim_name.as_str())));
        let projected = volume.projected.as_ref().and_then(|projected| projected.sources.as_ref());
        for source in projected.into_iter().flatten() {
            found.extend(source.secret.iter().map(|source| (Kind::Secret, source.name.as_str())));
            found.extend(source.config_map.iter().map(|source| (Kind::ConfigMap, source.name.as_str())));
        }
    }
    found.into_iter().map(|(kind, name)| (kind, namespace.to_owned(), name.to_owned())).collect()
}
