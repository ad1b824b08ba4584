//! The scale subresource: a `Scale` read from the object, changed, and put back into it.

use api::{Descriptor, Object};
use http::{Response, StatusCode};
use k8s_openapi::api::autoscaling::v1::Scale;
use machinery::field::{Error, Path};
use machinery::gvk::{GroupKind, GroupVersionKind};
use machinery::json::{self, Tree};
use machinery::patch::{json as json_patch, merge, strategic};
use machinery::{Status, schema};

use super::Target;
use super::options::WriteOptions;
use super::update::intent;
use crate::body::Body;
use crate::negotiate;
use crate::write::{PatchKind, Source, write};

/// PUT of a scale.
pub(super) async fn update(
    target: &Target,
    options: WriteOptions,
    body: &[u8],
) -> Result<Response<Body>, Status> {
    let parsed = json::parse(body).map_err(|error| Status::bad_request(error.to_string()))?;
    let scale = decode(&parsed.tree)?;
    let name = scale.metadata.name.as_deref().unwrap_or_default();
    if name != target.name() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name()
        )));
    }
    change(target, options, |_| Ok(scale.clone())).await
}

/// PATCH of a scale.
pub(super) async fn patch(
    target: &Target,
    options: WriteOptions,
    kind: PatchKind,
    body: &[u8],
) -> Result<Response<Body>, Status> {
    let bad = |error: &dyn std::fmt::Display| Status::bad_request(error.to_string());
    change(target, options, |current| {
        let current = json::to_tree(current).map_err(Status::internal)?;
        let patched = match kind {
            PatchKind::Json => json_patch::apply(&current, body).map_err(|error| bad(&error))?,
            PatchKind::Merge => {
                merge::apply(current, json::parse(body).map_err(|error| bad(&error))?.tree).into_owned()
            }
            PatchKind::Strategic => {
                let patch = json::parse(body).map_err(|error| bad(&error))?;
                strategic::apply(&current, &patch.tree, scale_type()).map_err(|error| bad(&error))?
            }
        };
        decode(&patched)
    })
    .await
}

fn scale_type() -> &'static schema::Type {
    schema::of(&GroupVersionKind::new("autoscaling", "v1", "Scale")).expect("the schema facts have Scale")
}

fn decode(tree: &Tree<'_>) -> Result<Scale, Status> {
    let unfit = |error: &dyn std::fmt::Display| {
        Status::bad_request(format!("Scale in version \"v1\" cannot be handled as a Scale: {error}"))
    };
    schema::check_types(tree, scale_type()).map_err(|error| unfit(&error))?;
    json::from_tree(tree).map_err(|error| unfit(&error))
}

async fn change(
    target: &Target,
    options: WriteOptions,
    wanted: impl Fn(&Scale) -> Result<Scale, Status> + Send + Sync,
) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&target.call)?;
    let source = Source::Change(Box::new(|object| {
        let current = target.kind.scale(object).ok_or_else(Status::page_not_found)?;
        let wanted = wanted(&current)?;
        check(&wanted)?;
        apply(&target.kind, object, &wanted);
        Ok(())
    }));
    let written = write(intent(target, options, source)).await?;
    Ok(negotiate::document(&target.call, &accept, StatusCode::OK, written.scale(&target.kind)?))
}

fn check(scale: &Scale) -> Result<(), Status> {
    let replicas = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
    if replicas >= 0 {
        return Ok(());
    }
    let path = Path::new("spec").child("replicas");
    let errors = [Error::invalid(&path, replicas, "must be greater than or equal to 0")];
    let name = scale.metadata.name.as_deref().unwrap_or_default();
    Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), name, &errors))
}

/// The scale's uid and `resourceVersion` are the client's preconditions on the object.
fn apply(kind: &Descriptor, object: &mut Object, scale: &Scale) {
    kind.set_scale(object, scale);
    object.meta_mut().uid.clone_from(&scale.metadata.uid);
    object.meta_mut().resource_version.clone_from(&scale.metadata.resource_version);
}
