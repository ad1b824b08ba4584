//! What a pod's status says of resources that its containers were given (upstream:
//! `validateContainerStatusAllocatedResourcesStatus`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, PodSpec, PodStatus, ResourceHealth, ResourceStatus,
};
use machinery::field::{Error, ErrorList, Path};

use crate::checks;

const HEALTH: &[&str] = &["Healthy", "Unhealthy", "Unknown"];
const MAX_MESSAGE: usize = 1024;

pub(super) fn validate(status: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let list = |list: &Option<Vec<ContainerStatus>>| list.clone().unwrap_or_default();
    let main_path = path.child("containerStatuses");
    let init_path = path.child("initContainerStatuses");
    let ephemeral_path = path.child("ephemeralContainerStatuses");
    let (main, init_statuses) = (list(&status.container_statuses), list(&status.init_container_statuses));
    let ephemeral = list(&status.ephemeral_container_statuses);
    let mut errors = validate_allocated(&main, &spec.containers, &main_path);
    errors.extend(validate_allocated(&init_statuses, init, &init_path));
    errors.extend(validate_unallocated(&ephemeral, &ephemeral_path));
    errors
}

/// Ephemeral containers are given none.
fn validate_unallocated(statuses: &[ContainerStatus], path: &Path) -> ErrorList {
    let statuses = statuses.iter().enumerate();
    let wrong =
        statuses.filter(|(_, status)| status.allocated_resources_status.iter().flatten().next().is_some());
    let path = |index| path.index(index).child("allocatedResourcesStatus");
    let detail = "must not be specified in container status";
    wrong.map(|(index, _)| Error::forbidden(&path(index), detail)).collect()
}

fn validate_allocated(statuses: &[ContainerStatus], containers: &[Container], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, status) in statuses.iter().enumerate() {
        let container = containers.iter().find(|container| container.name == status.name);
        for (place, resource) in status.allocated_resources_status.iter().flatten().enumerate() {
            let path = path.index(index).child("allocatedResourcesStatus").index(place);
            errors.extend(container.and_then(|container| validate_asked_for(resource, container, &path)));
            errors.extend(validate_health(resource, &path.child("resources")));
        }
    }
    errors
}

/// A resource that a container was given is one that it asked for, itself or by a claim.
fn validate_asked_for(resource: &ResourceStatus, container: &Container, path: &Path) -> Option<Error> {
    let requirements = container.resources.as_ref();
    let claims = requirements.iter().flat_map(|of| of.claims.iter().flatten());
    let claims: Vec<String> = claims
        .map(|claim| match checks::text(&claim.request) {
            "" => format!("claim:{}", claim.name),
            request => format!("claim:{}/{request}", claim.name),
        })
        .collect();
    let requests = requirements.and_then(|of| of.requests.as_ref());
    let (is_known, detail) = if resource.name.starts_with("claim:") {
        let detail = "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty";
        (claims.contains(&resource.name), detail)
    } else {
        let is_known = requests.is_some_and(|requests| requests.contains_key(&resource.name));
        (is_known, "must match one of the container's resource requests")
    };
    (!is_known).then(|| Error::invalid(&path.child("name"), &resource.name, detail).named())
}

fn validate_health(resource: &ResourceStatus, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (index, device) in resource.resources.iter().flatten().enumerate() {
        let path = path.index(index);
        let health = checks::text(&device.health);
        errors.extend(checks::supported_only(health, HEALTH, &path.child("health")));
        errors.extend(validate_message(device, &path.child("message")));
        if !seen.insert(device.resource_id.as_str()) {
            let id = device.resource_id.as_str();
            errors.push(Error::duplicate(&path.child("resourceID"), id).named());
        }
    }
    errors
}

fn validate_message(device: &ResourceHealth, path: &Path) -> Option<Error> {
    match device.message.as_deref()?.len() {
        0 => Some(Error::required(path, "must be non-empty if specified")),
        length if length > MAX_MESSAGE => Some(Error::too_long(path, MAX_MESSAGE)),
        _ => None,
    }
}
