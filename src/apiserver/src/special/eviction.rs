//! `pods/eviction`: a deletion that disruption budgets may delay. There are no budgets yet, so none does.

use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use machinery::gvk::GroupVersionKind;
use machinery::{Status, json};

use crate::admission::{self, Attributes, Operation};
use crate::body::{self, Body};
use crate::call::Call;
use crate::negotiate;
use crate::verbs::delete::options::DeleteOptions;
use crate::verbs::delete::remove;
use crate::verbs::options::WriteOptions;
use crate::write::document;

/// Deletes the pod as the eviction's options say.
pub(super) async fn create(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let write = WriteOptions::read(&call.query, "CreateOptions")?;
    let body = document::to_json(&call, &GroupVersionKind::of::<Eviction>(), body::read(body).await?)?;
    let parsed = json::parse(&body).map_err(|error| Status::bad_request(error.to_string()))?;
    let eviction: Eviction = json::from_tree(&parsed.tree).map_err(|error| {
        Status::bad_request(format!("Eviction in version \"v1\" cannot be handled as a Eviction: {error}"))
    })?;
    let name = call.info.name.as_str();
    if eviction.metadata.name.as_deref() != Some(name) {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = DeleteOptions::check(eviction.delete_options.unwrap_or_default())?;
    options.dry_run |= write.dry_run;
    let kind = call.server.registry.of::<Pod>().clone();
    let attributes = Attributes {
        call: &call,
        kind: &kind,
        operation: Operation::Create,
        subresource: "eviction",
        namespace: &call.info.namespace,
        name,
        dry_run: options.dry_run,
    };
    admission::judge(&attributes, None).await?;
    remove(&call, &kind, &call.info.namespace, name, &options).await?;
    let mut status = Status::success(None).to_tree();
    status.set(&["code"], json::Tree::Int(201));
    Ok(negotiate::document(&call, &accept, StatusCode::CREATED, status.to_vec().into()))
}
