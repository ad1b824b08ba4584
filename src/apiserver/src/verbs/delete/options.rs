//! `DeleteOptions`, from the body or, where there is none, from the query.

use api::{Descriptor, Object};
use bytes::Bytes;
use k8s_openapi::apimachinery::pkg::apis::meta::v1;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::{Status, json};

use crate::call::Call;
use crate::query::Query;
use crate::special;
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

    /// Checks options that a handler has at hand. `ignoreStoreReadErrorWithClusterBreakingPotential` has no effect, as
    /// upstream, which drops it unless `AllowUnsafeMalformedObjectDeletion` (alpha) is on.
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

    /// Takes over the revision of a change that belongs to the deletion itself, where a revision is a precondition.
    pub(crate) fn follow(&mut self, revision: u64) {
        if let Some(wanted) = &mut self.resource_version {
            *wanted = revision.to_string();
        }
    }

    /// 409 where the object is not the one that the client means.
    pub(crate) fn check_preconditions(
        &self,
        kind: &Descriptor,
        object: &Object,
        revision: u64,
    ) -> Result<(), Status> {
        let name = object.meta().name.as_deref().unwrap_or_default();
        let uid = object.meta().uid.as_deref().unwrap_or_default();
        let version = revision.to_string();
        let unmet = [
            ("UID", self.uid.as_deref(), uid, "deleted and then recreated"),
            ("ResourceVersion", self.resource_version.as_deref(), &*version, "modified"),
        ];
        let unmet = unmet.into_iter().find_map(|(field, wanted, found, event)| {
            wanted.filter(|wanted| *wanted != found).map(|wanted| (field, wanted, found, event))
        });
        let Some((field, wanted, found, event)) = unmet else { return Ok(()) };
        if special::is_marked_by_update(object) {
            let why = format!(
                "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
            );
            return Err(Status::conflict(&kind.resource.group_resource(), name, why));
        }
        // Upstream names the kind here, not the resource.
        let resource = GroupResource::new(&*kind.gvk.group, &*kind.gvk.kind);
        let why = format!(
            "the {field} in the precondition ({wanted}) does not match the {field} in record ({found}). The object might have been {event}"
        );
        Err(Status::conflict(&resource, name, why))
    }
}

/// Upstream's name of what knows the options of all groups.
const OPTIONS_SCHEME: &str = "pkg/apis/meta/internalversion/scheme/register.go:27";

fn from_body(call: &Call, body: Bytes) -> Result<v1::DeleteOptions, Status> {
    let body = document::to_json(call, &GroupVersionKind::new("", "v1", "DeleteOptions"), body)?;
    let parsed = json::parse(&body).map_err(|error| {
        Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
    })?;
    let kind = parsed.tree.get("kind").and_then(json::Tree::as_str).unwrap_or_default();
    if !matches!(kind, "" | "DeleteOptions") {
        let version = parsed.tree.get("apiVersion").and_then(json::Tree::as_str).unwrap_or("v1");
        return Err(Status::bad_request(document::not_registered(kind, version, OPTIONS_SCHEME)));
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
