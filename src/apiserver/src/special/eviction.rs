//! `pods/eviction`: a deletion that disruption budgets may delay. There are no budgets yet, so none does.

use api::Descriptor;
use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use machinery::gvk::GroupVersionKind;
use machinery::{Status, json, schema};

use super::conditions::{self, Condition};
use super::raw;
use crate::admission::{self, Attributes, Operation};
use crate::body::{self, Body};
use crate::call::Call;
use crate::negotiate;
use crate::verbs::delete::options::DeleteOptions;
use crate::verbs::delete::remove;
use crate::verbs::options::{FieldValidation, WriteOptions};
use crate::write::document;

/// Deletes the pod as the eviction's options say.
pub(super) async fn create(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let write = WriteOptions::read(&call.query, "CreateOptions")?;
    let eviction = read(&call, body, write.field_validation).await?;
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
    if !options.dry_run {
        options.follow(announce(&call, &kind, name, &options).await?);
    }
    remove(&call, &kind, &call.info.namespace, name, &options).await?;
    let mut status = Status::success(None).to_tree();
    status.set(&["code"], json::Tree::Int(201));
    Ok(negotiate::document(&call, &accept, StatusCode::CREATED, status.to_vec().into()))
}

async fn read(call: &Call, body: Body, validation: FieldValidation) -> Result<Eviction, Status> {
    let kind = GroupVersionKind::of::<Eviction>();
    let body = document::to_json(call, &kind, body::read(body).await?)?;
    let of = schema::of(&kind).expect("the schema facts have Eviction");
    let tree = document::read_as(call, &kind, of, validation, &body)?;
    let mut eviction: Eviction = json::from_tree(&tree).map_err(|error| {
        Status::bad_request(format!("Eviction in version \"v1\" cannot be handled as a Eviction: {error}"))
    })?;
    document::check_namespace(&mut eviction.metadata, &call.info.namespace)?;
    Ok(eviction)
}

const EVICTED: Condition = Condition {
    type_: "DisruptionTarget",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
};

/// Says in the pod's status why it will end. The answer is the revision that the pod has then.
async fn announce(
    call: &Call,
    kind: &Descriptor,
    name: &str,
    options: &DeleteOptions,
) -> Result<u64, Status> {
    raw::change(call, kind, name, false, |object| {
        let revision = object.meta().resource_version.as_deref().and_then(|text| text.parse().ok());
        options.check_preconditions(kind, object, revision.unwrap_or_default())?;
        let pod = object.downcast_mut::<Pod>().expect("pods are stored under pods");
        conditions::set_true(pod.status.get_or_insert_default(), &EVICTED);
        Ok(())
    })
    .await
}
