//! `pods/binding` and `bindings`: a pod is given to a node.

use api::Object;
use http::{Response, StatusCode};
use k8s_openapi::api::core::v1::{Binding, Pod, PodCondition};
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::{GroupResource, GroupVersionKind};
use machinery::{Status, json, meta};

use super::raw::{self, Fate};
use crate::body::{self, Body};
use crate::call::Call;
use crate::negotiate;
use crate::verbs::options::WriteOptions;
use crate::write::document;

/// Binds the pod that the path (or the binding) names.
pub(super) async fn create(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(&call)?;
    let options = WriteOptions::read(&call.query, "CreateOptions")?;
    let body = document::to_json(&call, &GroupVersionKind::of::<Binding>(), body::read(body).await?)?;
    let parsed = json::parse(&body).map_err(|error| Status::bad_request(error.to_string()))?;
    let binding: Binding = json::from_tree(&parsed.tree).map_err(|error| {
        Status::bad_request(format!("Binding in version \"v1\" cannot be handled as a Binding: {error}"))
    })?;
    let name = pod_name(&call, &binding)?;
    validate(&binding)?;
    let kind = call.server.registry.of::<Pod>().clone();
    raw::change(&call, &kind, &name, options.dry_run, |object| bind(object, &name, &binding)).await?;
    let mut status = Status::success(None).to_tree();
    status.set(&["code"], json::Tree::Int(201));
    Ok(negotiate::document(&call, &accept, StatusCode::CREATED, status.to_vec().into()))
}

fn pod_name(call: &Call, binding: &Binding) -> Result<String, Status> {
    let given = binding.metadata.name.as_deref().unwrap_or_default();
    let wanted = if call.info.name.is_empty() { given } else { &call.info.name };
    if !given.is_empty() && given != wanted {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    if binding.metadata.namespace.as_deref().is_some_and(|own| !own.is_empty() && own != call.info.namespace)
    {
        return Err(Status::bad_request("namespace in URL does not match namespace in Binding object"));
    }
    Ok(wanted.to_owned())
}

fn validate(binding: &Binding) -> Result<(), Status> {
    let path = Path::new("target");
    let mut errors = ErrorList::new();
    let kind = binding.target.kind.as_deref().unwrap_or_default();
    if !matches!(kind, "" | "Node") {
        errors.push(Error::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if binding.target.name.as_deref().unwrap_or_default().is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    // Upstream loses on the way what the errors are, and answers as if the fault were its own.
    match errors.as_slice() {
        [] => Ok(()),
        [only] => Err(Status::failure(500, "", only.to_string())),
        several => {
            let all: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Status::failure(500, "", format!("[{}]", all.join(", "))))
        }
    }
}

fn bind(object: &mut Object, name: &str, binding: &Binding) -> Result<Fate, Status> {
    let resource = GroupResource::new("", "pods/binding");
    let refuse = |why: String| Err(Status::conflict(&resource, name, why));
    let pod = object.downcast_mut::<Pod>().expect("pods are stored under pods");
    if let Some(uid) =
        binding.metadata.uid.as_ref().filter(|uid| !uid.is_empty() && Some(*uid) != pod.metadata.uid.as_ref())
    {
        let current = pod.metadata.uid.as_deref().unwrap_or_default();
        return refuse(format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {current}"
        ));
    }
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
    for (key, value) in binding.metadata.annotations.iter().flatten() {
        pod.metadata.annotations.get_or_insert_default().insert(key.clone(), value.clone());
    }
    set_scheduled(pod);
    Ok(Fate::Stays)
}

fn set_scheduled(pod: &mut Pod) {
    let conditions = pod.status.get_or_insert_default().conditions.get_or_insert_default();
    let scheduled = conditions.iter_mut().find(|condition| condition.type_ == "PodScheduled");
    if scheduled.as_ref().is_some_and(|condition| condition.status == "True") {
        return;
    }
    let condition = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(meta::now()),
        ..PodCondition::default()
    };
    match scheduled {
        Some(present) => *present = condition,
        None => conditions.push(condition),
    }
}
