//! NamespaceLifecycle: nothing is created in a namespace that does not exist or is being deleted; three namespaces cannot
//! be deleted.

use std::any::Any;

use api::Object;
use async_trait::async_trait;
use machinery::Status;
use machinery::gvk::GroupResource;
use machinery::status::Cause;
use serde::Deserialize;
use store::Key;

use super::{Attributes, Operation, Plugin};

pub(super) struct NamespaceLifecycle;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

#[async_trait]
impl Plugin for NamespaceLifecycle {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        let is_namespace = attributes.is_about("", "namespaces");
        match attributes.operation {
            Operation::Delete => is_namespace,
            _ => attributes.kind.namespaced && !is_namespace && !is_access_review(attributes),
        }
    }

    async fn admit(
        &self,
        attributes: &Attributes<'_>,
        _new: &mut Object,
        _old: Option<&Object>,
        _held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        must_take(attributes)
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        _new: Option<&Object>,
        _old: Option<&Object>,
    ) -> Result<(), Status> {
        match attributes.operation {
            Operation::Delete => protect(attributes),
            // What is not stored is judged here only: a token request, an eviction.
            _ if !attributes.subresource.is_empty() => must_take(attributes),
            _ => Ok(()),
        }
    }
}

/// The namespace must be there, and take new objects if there is to be one.
fn must_take(attributes: &Attributes<'_>) -> Result<(), Status> {
    match phase_of(attributes)? {
        None => Err(Status::not_found(&GroupResource::new("", "namespaces"), attributes.namespace)),
        Some(Phase::Terminating) if attributes.operation == Operation::Create => {
            Err(being_terminated(attributes))
        }
        Some(_) => Ok(()),
    }
}

/// Reviews would tell by 404 whether a namespace exists.
fn is_access_review(attributes: &Attributes<'_>) -> bool {
    attributes.is_about("authorization.k8s.io", "localsubjectaccessreviews")
}

fn protect(attributes: &Attributes<'_>) -> Result<(), Status> {
    if IMMORTAL.contains(&attributes.name) {
        let resource = GroupResource::new("", "namespaces");
        return Err(Status::forbidden(&resource, attributes.name, "this namespace may not be deleted"));
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Phase {
    Active,
    Terminating,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Namespace {
    status: NamespaceStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NamespaceStatus {
    phase: String,
}

/// Read from the stored bytes, of which only the phase is decoded.
fn phase_of(attributes: &Attributes<'_>) -> Result<Option<Phase>, Status> {
    let key = Key::new("", "namespaces", "", attributes.namespace);
    let Some(entry) = attributes.call.server.store.get(&key) else { return Ok(None) };
    let namespace: Namespace = serde_json::from_slice(&entry.bytes).map_err(Status::internal)?;
    Ok(Some(if namespace.status.phase == "Terminating" { Phase::Terminating } else { Phase::Active }))
}

fn being_terminated(attributes: &Attributes<'_>) -> Status {
    let namespace = attributes.namespace;
    let mut status = attributes.forbidden(format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    ));
    status.details_mut().causes.push(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    });
    status
}
