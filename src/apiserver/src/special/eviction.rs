//! `pods/eviction`: a deletion that disruption budgets may delay. There are no budgets yet, so none does.

use api::Descriptor;
use http::Response;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use machinery::Status;
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;

use super::conditions::{self, Condition};
use super::{command, raw};
use crate::admission::{self, Attributes, Operation};
use crate::body::Body;
use crate::call::Call;
use crate::negotiate;
use crate::verbs::delete::options::DeleteOptions;
use crate::verbs::delete::remove;
use crate::verbs::options::WriteOptions;

/// Deletes the pod as the eviction's options say.
pub(super) async fn create(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let write = WriteOptions::read(&call.query, "CreateOptions")?;
    let eviction: Eviction = command::read(&call, body, write.field_validation).await?;
    let name = call.info.name.as_str();
    if eviction.metadata.name.as_deref() != Some(name) {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let wire = eviction.delete_options.unwrap_or_default();
    if wire.ignore_store_read_error_with_cluster_breaking_potential == Some(true) {
        return Err(unreadable_stays(name));
    }
    let mut options = DeleteOptions::check(wire)?;
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
    Ok(command::done(&call, &accept))
}

/// An eviction has to see the pod.
fn unreadable_stays(name: &str) -> Status {
    let path = Path::new("deleteOptions").child("ignoreStoreReadErrorWithClusterBreakingPotential");
    let why = "can not be set for pod eviction, try after removing the option";
    Status::invalid(&GroupKind::new("policy", "Eviction"), name, &[Error::invalid(&path, true, why)])
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
