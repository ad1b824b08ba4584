//! `pods/binding` and `bindings`: a pod is given to a node.

use api::{Kind, Object};
use http::Response;
use k8s_openapi::api::core::v1::{Binding, Pod};
use machinery::Status;
use machinery::gvk::GroupResource;

use super::conditions::{self, Condition};
use super::{command, raw};
use crate::body::Body;
use crate::call::Call;
use crate::negotiate;
use crate::verbs::options::WriteOptions;

/// Binds the pod that the path (or the binding) names.
pub(super) async fn create(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let binding: Binding = command::read(&call, body, options.field_validation).await?;
    let name = pod_name(&call, &binding)?;
    validate(&binding)?;
    let kind = call.server.registry.of::<Pod>().clone();
    raw::change(&call, &kind, &name, options.dry_run, |object| bind(object, &name, &binding)).await?;
    Ok(command::done(&call, &accept))
}

fn pod_name(call: &Call, binding: &Binding) -> Result<String, Status> {
    let given = binding.metadata.name.as_deref().unwrap_or_default();
    if !call.info.name.is_empty() && given != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    Ok(given.to_owned())
}

fn validate(binding: &Binding) -> Result<(), Status> {
    // Upstream loses on the way what the errors are, and answers as if the fault were its own.
    match Kind::validate(binding).as_slice() {
        [] => Ok(()),
        [only] => Err(Status::failure(500, "", only.to_string())),
        several => {
            let all: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Status::failure(500, "", format!("[{}]", all.join(", "))))
        }
    }
}

fn bind(object: &mut Object, name: &str, binding: &Binding) -> Result<(), Status> {
    let resource = GroupResource::new("", "pods/binding");
    let refuse = |why: String| Err(Status::conflict(&resource, name, why));
    let pod = object.downcast_mut::<Pod>().expect("pods are stored under pods");
    check_preconditions(pod, name, binding)?;
    if pod.metadata.deletion_timestamp.is_some() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let spec = pod.spec.get_or_insert_default();
    if let Some(node) = spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        return refuse(format!("pod {name} is already assigned to node {node:?}"));
    }
    if spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()) {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    spec.node_name.clone_from(&binding.target.name);
    let status = pod.status.get_or_insert_default();
    status.nominated_node_name = None;
    conditions::set_true(status, &Condition { type_: "PodScheduled", reason: "", message: "" });
    let (own, given) = (&mut pod.metadata, &binding.metadata);
    for (own, given) in [(&mut own.annotations, &given.annotations), (&mut own.labels, &given.labels)] {
        if let Some(given) = given.as_ref().filter(|given| !given.is_empty()) {
            own.get_or_insert_default().extend(given.clone());
        }
    }
    Ok(())
}

/// The binding's uid and `resourceVersion`, where it says them, are the pod's.
fn check_preconditions(pod: &Pod, name: &str, binding: &Binding) -> Result<(), Status> {
    let (wanted, found) = (&binding.metadata, &pod.metadata);
    for (field, wanted, found) in [
        ("UID", &wanted.uid, &found.uid),
        ("ResourceVersion", &wanted.resource_version, &found.resource_version),
    ] {
        let found = found.as_deref().unwrap_or_default();
        if let Some(wanted) = wanted.as_deref().filter(|wanted| !wanted.is_empty() && *wanted != found) {
            let why = format!(
                "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {found}"
            );
            return Err(Status::conflict(&GroupResource::new("", "pods"), name, why));
        }
    }
    Ok(())
}
