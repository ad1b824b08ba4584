//! `DeleteOptions`, from the body or, where there is none, from the query.

use api::{Descriptor, Object};
use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::{Status, json};

use crate::call::Call;
use crate::query::Query;
use crate::verbs::options::{dry_run_errors, invalid_unless_empty};
use crate::write::document;

/// What happens to dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PropagationPolicy {
    Orphan,
    Background,
    Foreground,
}

/// How to delete.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) propagation_policy: Option<PropagationPolicy>,
    pub(crate) dry_run: bool,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads them from a request.
    pub(crate) fn read(call: &Call, body: Bytes) -> Result<DeleteOptions, Status> {
        let wire = if body.is_empty() { from_query(&call.query)? } else { from_body(call, body)? };
        DeleteOptions::check(wire)
    }

    /// Checks options that a handler has at hand.
    pub(crate) fn check(wire: v1::DeleteOptions) -> Result<DeleteOptions, Status> {
        let dry_run = wire.dry_run.unwrap_or_default();
        let mut errors: ErrorList = dry_run_errors(&dry_run.iter().map(String::as_str).collect::<Vec<_>>());
        let path = Path::new("propagationPolicy");
        if wire.orphan_dependents.is_some() && wire.propagation_policy.is_some() {
            let both = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(Error::invalid(&path, &wire.propagation_policy, both));
        }
        let propagation_policy = match wire.propagation_policy.as_deref() {
            None => None,
            Some("Orphan") => Some(PropagationPolicy::Orphan),
            Some("Background") => Some(PropagationPolicy::Background),
            Some("Foreground") => Some(PropagationPolicy::Foreground),
            Some(other) => {
                errors.push(Error::not_supported(
                    &path,
                    other,
                    &["Foreground", "Background", "Orphan", "nil"],
                ));
                None
            }
        };
        invalid_unless_empty("DeleteOptions", &errors)?;
        let preconditions = wire.preconditions.unwrap_or_default();
        Ok(DeleteOptions {
            // Upstream treats what is negative as one second.
            grace_period_seconds: wire
                .grace_period_seconds
                .map(|seconds| if seconds < 0 { 1 } else { seconds }),
            orphan_dependents: wire.orphan_dependents,
            propagation_policy,
            dry_run: !dry_run.is_empty(),
            uid: preconditions.uid,
            resource_version: preconditions.resource_version,
        })
    }

    /// 409 where the object is not the one that the client means.
    pub(crate) fn check_preconditions(
        &self,
        kind: &Descriptor,
        object: &Object,
        revision: u64,
    ) -> Result<(), Status> {
        // Upstream names the kind here, not the resource.
        let resource = GroupResource::new(&*kind.gvk.group, &*kind.gvk.kind);
        let name = object.meta().name.as_deref().unwrap_or_default();
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        if let Some(wanted) = self.uid.as_deref().filter(|wanted| *wanted != uid) {
            return Err(Status::conflict(
                &resource,
                name,
                format!(
                    "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
                ),
            ));
        }
        let version = revision.to_string();
        if let Some(wanted) = self.resource_version.as_deref().filter(|wanted| *wanted != version) {
            return Err(Status::conflict(
                &resource,
                name,
                format!(
                    "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
                ),
            ));
        }
        Ok(())
    }
}

fn from_body(call: &Call, body: Bytes) -> Result<v1::DeleteOptions, Status> {
    let body = document::to_json(call, &GroupVersionKind::new("", "v1", "DeleteOptions"), body)?;
    let parsed = json::parse(&body).map_err(|error| {
        Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
    })?;
    let kind = parsed.tree.get("kind").and_then(json::Tree::as_str).unwrap_or_default();
    if !matches!(kind, "" | "DeleteOptions") {
        return Err(Status::bad_request("decoded object cannot be converted to DeleteOptions"));
    }
    json::from_tree(&parsed.tree).map_err(|error| Status::bad_request(error.to_string()))
}

fn from_query(query: &Query) -> Result<v1::DeleteOptions, Status> {
    let dry_run: Vec<String> = query.all("dryRun").map(str::to_owned).collect();
    Ok(v1::DeleteOptions {
        dry_run: (!dry_run.is_empty()).then_some(dry_run),
        grace_period_seconds: query.number("gracePeriodSeconds")?,
        orphan_dependents: query.optional_flag("orphanDependents"),
        propagation_policy: query.get("propagationPolicy").map(str::to_owned),
        ..v1::DeleteOptions::default()
    })
}
