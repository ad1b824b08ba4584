//! The scale subresource: a `Scale` read from the object, changed, and put back into it.

use std::sync::Arc;

use api::{Descriptor, Object};
use http::{Response, StatusCode};
use k8s_openapi::api::autoscaling::v1::Scale;
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;
use machinery::{Status, json};

use super::options::WriteOptions;
use super::update::intent;
use super::{Target, respond_as};
use crate::body::Body;
use crate::negotiate::{self, Accept};
use crate::write::{Patch, PatchKind, Source, Written, document, write};

/// GET of a scale.
pub(super) fn get(target: &Target, written: &Written) -> Result<Response<Body>, Status> {
    answer(target, &negotiate::resource(&target.call, kind(target))?, written)
}

/// PUT of a scale.
pub(super) async fn update(
    target: &Target,
    options: WriteOptions,
    body: &[u8],
) -> Result<Response<Body>, Status> {
    let kind = kind(target);
    let scale = kind.decode(&document::read(&target.call, kind, options.field_validation, body)?)?;
    let name = scale.meta().name.as_deref().unwrap_or_default();
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
    patch_kind: PatchKind,
    body: &[u8],
) -> Result<Response<Body>, Status> {
    let patch = Patch { kind: patch_kind, body, validation: options.field_validation };
    change(target, options, |current| {
        let current = json::to_tree(current).map_err(Status::internal)?;
        patch.apply(&target.call, kind(target), current)
    })
    .await
}

fn kind(target: &Target) -> &Arc<Descriptor> {
    target.call.server.registry.body("Scale")
}

fn answer(target: &Target, accept: &Accept, written: &Written) -> Result<Response<Body>, Status> {
    let scale = written.scale(&target.kind)?;
    respond_as(kind(target), &target.call, accept, StatusCode::OK, &scale)
}

async fn change(
    target: &Target,
    options: WriteOptions,
    wanted: impl Fn(&Scale) -> Result<Object, Status> + Send + Sync,
) -> Result<Response<Body>, Status> {
    let accept = negotiate::resource(&target.call, kind(target))?;
    let source = Source::Change(Box::new(|object| {
        let current = target.kind.scale(object).ok_or_else(Status::page_not_found)?;
        let wanted = wanted(&current)?;
        let wanted = wanted.downcast_ref::<Scale>().expect("decoded as a scale");
        check(wanted)?;
        apply(&target.kind, object, wanted);
        Ok(())
    }));
    let written = write(intent(target, options, source)).await?;
    answer(target, &accept, &written)
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
