//! Roles and bindings, decoded and found by subject.
//!
//! Kept current by a `Mirror`; answers authorization and tells which rules somebody has (for escalation checks and
//! SelfSubjectRulesReview).

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use serde::de::DeserializeOwned;
use store::{Entry, Key, Range};

use super::matching::rule_allows;
use super::{GROUP, bootstrap_policy};
use crate::chain::authorize::{Attributes, Decision, Target};
use crate::mirror::Index;
use crate::user::User;

/// The resources that make up the rules.
pub(crate) const RESOURCES: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// Every role's rules, and every binding by its subjects.
#[derive(Default)]
pub(crate) struct Rules {
    /// (namespace, name) → rules; cluster roles have no namespace.
    roles: HashMap<(String, String), Arc<[PolicyRule]>>,
    bindings: HashMap<Key, Arc<Binding>>,
    by_subject: HashMap<String, Vec<Arc<Binding>>>,
}

/// A role binding or cluster role binding.
pub(crate) struct Binding {
    /// Empty for a cluster role binding.
    namespace: String,
    name: String,
    role: RoleRef,
    subjects: Vec<Bound>,
}

/// One subject of a binding.
struct Bound {
    /// As users are looked up.
    key: String,
    /// As an answer names it, such as `Group "admins"`.
    shown: String,
}

impl Rules {
    /// What a mirror of the rules has to follow.
    pub(crate) fn ranges() -> Vec<Range> {
        RESOURCES.iter().map(|resource| Range::resource(GROUP, resource)).collect()
    }

    /// The RBAC authorizer.
    pub(crate) fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let namespace = match attributes.target {
            Target::Resource(resource) => resource.namespace,
            Target::Path(_) => "",
        };
        let mut missing: Vec<String> = Vec::new();
        for binding in self.bindings_of(attributes.user, namespace) {
            match self.rules_of(binding) {
                Ok(rules) if rules.iter().any(|rule| rule_allows(attributes, rule)) => {
                    return Decision::Allow(binding.source(attributes.user));
                }
                Ok(_) => {}
                Err(error) if missing.contains(&error) => {}
                Err(error) => missing.push(error),
            }
        }
        Decision::NoOpinion(match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            several => format!("RBAC: [{}]", several.join(", ")),
        })
    }

    /// Every rule that `user` has in `namespace` (and in the whole cluster), and what could not be resolved.
    pub(crate) fn of_user(&self, user: &User, namespace: &str) -> (Vec<PolicyRule>, Vec<String>) {
        let mut errors = Vec::new();
        let mut found = Vec::new();
        for binding in self.bindings_of(user, namespace) {
            match self.rules_of(binding) {
                Ok(rules) => found.extend(rules.iter().cloned()),
                Err(error) => errors.push(error),
            }
        }
        (found, errors)
    }

    /// The rules of the role that a binding in `namespace` refers to.
    pub(crate) fn of_role(&self, namespace: &str, role: &RoleRef) -> Result<Arc<[PolicyRule]>, String> {
        let namespace = if role.kind == "ClusterRole" { "" } else { namespace };
        self.roles.get(&(namespace.to_owned(), role.name.clone())).cloned().ok_or_else(|| {
            let resource = if role.kind == "ClusterRole" { "clusterrole" } else { "role" };
            format!("{resource}.{GROUP} {:?} not found", role.name)
        })
    }

    fn rules_of(&self, binding: &Binding) -> Result<Arc<[PolicyRule]>, String> {
        self.of_role(&binding.namespace, &binding.role)
    }

    /// Cluster role bindings first, as upstream visits them.
    fn bindings_of<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Binding> {
        let subjects =
            std::iter::once(user_subject(&user.name)).chain(user.groups.iter().map(|g| group_subject(g)));
        let all: Vec<&Binding> = subjects
            .filter_map(|subject| self.by_subject.get(&subject))
            .flatten()
            .map(AsRef::as_ref)
            .collect();
        let cluster = all.clone().into_iter().filter(|binding| binding.namespace.is_empty());
        let local = all
            .into_iter()
            .filter(move |binding| !binding.namespace.is_empty() && binding.namespace == namespace);
        cluster.chain(local)
    }

    fn add_binding(&mut self, key: &Key, role: RoleRef, subjects: Vec<Subject>) {
        let namespace = key.namespace().to_owned();
        let subjects: Vec<Bound> = subjects
            .iter()
            .filter_map(|subject| {
                Some(Bound { key: indexed(subject, &namespace)?, shown: shown(subject, &namespace) })
            })
            .collect();
        let binding = Arc::new(Binding { namespace, name: key.name().to_owned(), role, subjects });
        for subject in &binding.subjects {
            self.by_subject.entry(subject.key.clone()).or_default().push(binding.clone());
        }
        self.bindings.insert(key.clone(), binding);
    }

    fn remove_binding(&mut self, key: &Key) {
        let Some(binding) = self.bindings.remove(key) else { return };
        for subject in &binding.subjects {
            if let Some(list) = self.by_subject.get_mut(&subject.key) {
                list.retain(|other| !Arc::ptr_eq(other, &binding));
            }
        }
        self.by_subject.retain(|_, list| !list.is_empty());
    }
}

impl Binding {
    /// Which binding allows, and by which of its subjects it applies to the user.
    fn source(&self, user: &User) -> String {
        let applies = |bound: &&Bound| {
            bound.key == user_subject(&user.name)
                || user.groups.iter().any(|group| bound.key == group_subject(group))
        };
        let subject = self.subjects.iter().find(applies).map_or("", |bound| bound.shown.as_str());
        let role = format!("{} {:?} to {subject}", self.role.kind, self.role.name);
        match self.namespace.as_str() {
            "" => format!("RBAC: allowed by ClusterRoleBinding {:?} of {role}", self.name),
            namespace => {
                format!("RBAC: allowed by RoleBinding {:?} of {role}", format!("{}/{namespace}", self.name))
            }
        }
    }
}

impl Index for Rules {
    fn put(&mut self, entry: &Entry) {
        let key = &entry.key;
        let name = (key.namespace().to_owned(), key.name().to_owned());
        match key.resource() {
            "clusterroles" => {
                let rules = decode::<ClusterRole>(entry).and_then(|role| role.rules);
                self.roles.insert(name, rules.unwrap_or_default().into());
            }
            "roles" => {
                let rules = decode::<Role>(entry).and_then(|role| role.rules);
                self.roles.insert(name, rules.unwrap_or_default().into());
            }
            "clusterrolebindings" => {
                self.remove_binding(key);
                if let Some(binding) = decode::<ClusterRoleBinding>(entry) {
                    self.add_binding(key, binding.role_ref, binding.subjects.unwrap_or_default());
                }
            }
            _ => {
                self.remove_binding(key);
                if let Some(binding) = decode::<RoleBinding>(entry) {
                    self.add_binding(key, binding.role_ref, binding.subjects.unwrap_or_default());
                }
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        match key.resource() {
            "clusterroles" | "roles" => {
                self.roles.remove(&(key.namespace().to_owned(), key.name().to_owned()));
            }
            _ => self.remove_binding(key),
        }
    }
}

/// An entry that cannot be read grants nothing.
fn decode<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    match serde_json::from_slice(&entry.bytes) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(key = entry.key.as_str(), %error, "a stored role or binding cannot be read");
            None
        }
    }
}

fn user_subject(name: &str) -> String {
    format!("user:{name}")
}

fn group_subject(name: &str) -> String {
    format!("group:{name}")
}

/// A subject as upstream describes it.
fn shown(subject: &Subject, namespace: &str) -> String {
    let Subject { kind, name, .. } = subject;
    match kind.as_str() {
        "ServiceAccount" => {
            let namespace = subject.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(namespace);
            format!("{kind} {:?}", format!("{name}/{namespace}"))
        }
        _ => format!("{kind} {name:?}"),
    }
}

/// A subject as users are looked up; a service account's namespace defaults to the binding's.
fn indexed(subject: &Subject, namespace: &str) -> Option<String> {
    match subject.kind.as_str() {
        "User" => Some(user_subject(&subject.name)),
        "Group" => Some(group_subject(&subject.name)),
        "ServiceAccount" => {
            let namespace = subject.namespace.as_deref().filter(|own| !own.is_empty()).unwrap_or(namespace);
            (!namespace.is_empty())
                .then(|| user_subject(&format!("system:serviceaccount:{namespace}:{}", subject.name)))
        }
        _ => None,
    }
}

/// The rules that the Node authorizer applies to what it does not look into.
pub(crate) fn node_rules() -> Vec<PolicyRule> {
    bootstrap_policy::read()
        .into_iter()
        .find_map(|default| match default {
            bootstrap_policy::Default::ClusterRole(role) => {
                (role.metadata.name.as_deref() == Some("system:node")).then(|| role.rules.unwrap_or_default())
            }
            _ => None,
        })
        .expect("the default policy has the role system:node")
}
