//! PUT: an object, its status or its scale replaced.

use api::Subresource;
use http::{Response, StatusCode};
use machinery::Status;

use super::options::WriteOptions;
use super::{Target, respond, scale};
use crate::body::{self, Body};
use crate::negotiate;
use crate::write::{Intent, Source, View, document, write};

/// Replaces what the request names with the body.
pub(crate) async fn update(target: Target, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::resource(&target.call, &target.kind)?;
    let options = WriteOptions::read(&target.call.query, "UpdateOptions")?;
    let is_scale = target.subresource == Some(Subresource::Scale);
    let expected = if is_scale { target.call.server.registry.body("Scale") } else { &target.kind };
    let body = document::to_json(&target.call, &expected.gvk, body::read(body).await?)?;
    if is_scale {
        return scale::update(&target, options, &body).await;
    }
    let written = write(intent(&target, options, Source::Replacement(body))).await?;
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    respond(&target, &accept, code, &written)
}

/// A write to the object that the request names, or to its status.
pub(super) fn intent<'a>(target: &'a Target, options: WriteOptions, source: Source<'a>) -> Intent<'a> {
    Intent {
        call: &target.call,
        kind: &target.kind,
        subresource: &target.call.info.subresource,
        view: view(target.subresource),
        namespace: target.namespace().to_owned(),
        name: target.name().to_owned(),
        generated: 0,
        source,
        options,
    }
}

fn view(subresource: Option<Subresource>) -> View {
    match subresource {
        Some(Subresource::Status) => View::Status,
        Some(Subresource::Approval) => View::Approval,
        Some(Subresource::EphemeralContainers) => View::EphemeralContainers,
        Some(Subresource::Scale) | None => View::Main,
    }
}
