//! Brings upstream's default roles and bindings into the store.
//!
//! A default that is there keeps what was added to it and gets back what it lacks; a binding that refers to another role
//! is made anew, since that cannot be changed. Neither happens where the annotation
//! `rbac.authorization.kubernetes.io/autoupdate` says `false`.

use std::sync::Arc;

use api::Kind;
use futures::future::try_join_all;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::Status;
use store::{Precondition, Value, Write};

use super::aggregated;
use super::bootstrap_policy::{self, Default};
use super::escalation::{atoms, compact, covers};
use crate::bootstrap::{ensure, failed};
use crate::server::Server;
use crate::write::refused;
use crate::{Error, verbs};

/// Writes every default that is missing or lacks something.
pub(crate) async fn defaults(server: &Arc<Server>) -> Result<(), Error> {
    try_join_all(bootstrap_policy::read().into_iter().map(|default| one(server, default))).await?;
    aggregated::update(server).await.map_err(|cause| failed("aggregated cluster roles", cause))
}

async fn one(server: &Arc<Server>, default: Default) -> Result<(), Error> {
    match default {
        Default::ClusterRole(role) => {
            ensure(server, role, |present, wanted: &ClusterRole| {
                let labels = add_labels(&mut present.metadata, &wanted.metadata);
                let aggregation = present.aggregation_rule != wanted.aggregation_rule;
                present.aggregation_rule.clone_from(&wanted.aggregation_rule);
                let rules =
                    present.aggregation_rule.is_none() && add_rules(&mut present.rules, &wanted.rules);
                labels || aggregation || rules
            })
            .await
        }
        Default::Role(role) => {
            ensure(server, role, |present, wanted: &Role| {
                let labels = add_labels(&mut present.metadata, &wanted.metadata);
                add_rules(&mut present.rules, &wanted.rules) || labels
            })
            .await
        }
        Default::ClusterRoleBinding(binding) => {
            let misled = |present: &ClusterRoleBinding| {
                may_change(&present.metadata) && present.role_ref != binding.role_ref
            };
            remove_if(server, &binding.metadata, misled).await?;
            ensure(server, binding, |present, wanted: &ClusterRoleBinding| {
                may_change(&present.metadata) && add_all(&mut present.subjects, &wanted.subjects)
            })
            .await
        }
        Default::RoleBinding(binding) => {
            let misled =
                |present: &RoleBinding| may_change(&present.metadata) && present.role_ref != binding.role_ref;
            remove_if(server, &binding.metadata, misled).await?;
            ensure(server, binding, |present, wanted: &RoleBinding| {
                may_change(&present.metadata) && add_all(&mut present.subjects, &wanted.subjects)
            })
            .await
        }
    }
}

/// Deletes the object that a default would be if `wrong` says so.
async fn remove_if<T: Kind>(
    server: &Arc<Server>,
    default: &ObjectMeta,
    wrong: impl Fn(&T) -> bool,
) -> Result<(), Error> {
    let (namespace, name) = (default.namespace.as_deref().unwrap_or_default(), default.name.as_deref());
    let name = name.expect("every default has a name");
    let kind = server.registry.of::<T>();
    let Some(entry) = server.store.get(&verbs::key(kind, namespace, name)) else { return Ok(()) };
    let failed = |status: Status| failed(&format!("{} {name}", kind.resource.resource), status);
    let present = kind.decode_stored(&entry.bytes).map_err(|error| failed(Status::internal(error)))?;
    if !wrong(present.downcast_ref::<T>().expect("stored under the kind's own resource")) {
        return Ok(());
    }
    tracing::info!(
        name,
        resource = kind.resource.resource,
        "a default binding refers to another role: it is made anew"
    );
    let (head, tail) = kind.encode(&present);
    let delete = Write::Delete(Value::new(head.into(), tail.into()));
    match server.store.commit(entry.key.clone(), Precondition::Revision(entry.revision), delete).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(refused(&error, &kind.resource.group_resource(), name))),
    }
}

/// Whether the administrator lets defaults be repaired.
fn may_change(meta: &ObjectMeta) -> bool {
    let annotation = meta.annotations.as_ref();
    let annotation = annotation.and_then(|all| all.get("rbac.authorization.kubernetes.io/autoupdate"));
    annotation.is_none_or(|value| value != "false")
}

fn add_labels(present: &mut ObjectMeta, wanted: &ObjectMeta) -> bool {
    if !may_change(present) {
        return false;
    }
    let labels = present.labels.get_or_insert_default();
    let missing = wanted.labels.iter().flatten().filter(|(key, value)| labels.get(*key) != Some(value));
    let missing: Vec<(String, String)> = missing.map(|(key, value)| (key.clone(), value.clone())).collect();
    let any = !missing.is_empty();
    labels.extend(missing);
    any
}

/// Adds what the wanted rules allow and the present ones do not.
fn add_rules(present: &mut Option<Vec<PolicyRule>>, wanted: &Option<Vec<PolicyRule>>) -> bool {
    let rules = present.get_or_insert_default();
    let missing: Vec<PolicyRule> = wanted
        .iter()
        .flatten()
        .flat_map(atoms)
        .filter(|atom| !rules.iter().any(|rule| covers(rule, atom)))
        .collect();
    let any = !missing.is_empty();
    rules.extend(compact(&missing));
    any
}

fn add_all<T: Clone + PartialEq>(present: &mut Option<Vec<T>>, wanted: &Option<Vec<T>>) -> bool {
    let list = present.get_or_insert_default();
    let missing: Vec<T> = wanted.iter().flatten().filter(|item| !list.contains(item)).cloned().collect();
    let any = !missing.is_empty();
    list.extend(missing);
    any
}
