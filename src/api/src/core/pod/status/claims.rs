//! What a pod's status says of its resource claims (upstream: `validatePodResourceClaimStatuses`,
//! `validatePodExtendedResourceClaimStatus`).

use k8s_openapi::api::core::v1::{Container, PodExtendedResourceClaimStatus, PodSpec, PodStatus};
use machinery::field::{Error, ErrorList, Path};

use crate::checks;

pub(super) fn validate(status: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = validate_statuses(status, spec, &path.child("resourceClaimStatuses"));
    if let Some(extended) = &status.extended_resource_claim_status {
        errors.extend(validate_extended(extended, spec, &path.child("extendedResourceClaimStatus")));
    }
    errors
}

fn validate_statuses(status: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let statuses = status.resource_claim_statuses.as_deref().unwrap_or_default();
    let mut errors = ErrorList::new();
    for (index, status) in statuses.iter().enumerate() {
        let (path, name) = (path.index(index), status.name.as_str());
        if !spec.resource_claims.iter().flatten().any(|claim| claim.name == name) {
            let detail = "must match the name of an entry in `spec.resourceClaims`";
            errors.push(Error::invalid(&path.child("name"), name, detail));
        }
        if statuses[..index].iter().any(|other| other.name == name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
        let claim = status.resource_claim_name.iter();
        errors.extend(claim.flat_map(|claim| checks::reference(claim, &path.child("resourceClaimName"))));
    }
    errors
}

fn validate_extended(status: &PodExtendedResourceClaimStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let mappings = path.child("requestMappings");
    let mut errors = ErrorList::new();
    if status.request_mappings.is_empty() {
        errors.push(Error::required(&mappings, "at least one request mapping is required"));
    }
    for (index, mapping) in status.request_mappings.iter().enumerate() {
        let at = mappings.index(index);
        match container(spec, &mapping.container_name) {
            None => {
                let detail =
                    "must match the name of an entry in spec.initContainers.name or spec.containers.name";
                errors.push(Error::invalid(&at.child("containerName"), &mapping.container_name, detail));
            }
            Some(container) if !requests(container, &mapping.resource_name) => {
                let detail = "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests";
                errors.push(Error::invalid(&at.child("resourceName"), &mapping.resource_name, detail));
            }
            Some(_) => {}
        }
        errors.extend(checks::dns_label(&mapping.request_name, &path.child("requestName")));
        if status.request_mappings[..index].contains(mapping) {
            errors.push(Error::duplicate(&at.child("containerName"), &mapping.container_name));
            errors.push(Error::duplicate(&at.child("resourceName"), &mapping.resource_name));
            errors.push(Error::duplicate(&at.child("requestName"), &mapping.request_name));
        }
    }
    errors.extend(checks::required_reference(&status.resource_claim_name, &path.child("resourceClaimName")));
    errors
}

/// The container of this name; a container proper wins over an init container.
fn container<'a>(spec: &'a PodSpec, name: &str) -> Option<&'a Container> {
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.find(|container| container.name == name)
}

fn requests(container: &Container, resource: &str) -> bool {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.is_some_and(|requests| requests.contains_key(resource))
}
