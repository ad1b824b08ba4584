//! `namespaces/finalize`: a namespace with other finalizers in its spec, which nothing else may change. The last one gone,
//! the namespace goes.

use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::Namespace;
use machinery::Status;

use crate::body::{self, Body};
use crate::call::Call;
use crate::negotiate;
use crate::verbs::options::WriteOptions;
use crate::write::{Intent, Source, View, document, write};

/// Replaces the namespace with the body's, of which everything counts but the status.
pub(super) async fn update(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let options = WriteOptions::read(&call.query, "UpdateOptions")?;
    let kind = call.server.registry.of::<Namespace>().clone();
    let body = document::to_json(&call, &kind.gvk, body::read(body).await?)?;
    let written = write(Intent {
        call: &call,
        kind: &kind,
        subresource: "finalize",
        view: View::Finalize,
        namespace: String::new(),
        name: call.info.name.clone(),
        generated: 0,
        source: Source::Replacement(body),
        options,
    })
    .await?;
    Ok(negotiate::document(&call, &accept, StatusCode::OK, written.bytes))
}
