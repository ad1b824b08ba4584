//! What a pod's status says of its resource claims (upstream: `validatePodResourceClaimStatuses`,
//! `validatePodExtendedResourceClaimStatus`).

use k8s_openapi::api::core::v1::{
    Container, NodeAllocatableResourceClaimStatus, PodExtendedResourceClaimStatus, PodSpec, PodStatus,
};
use machinery::field::{Error, ErrorList, Path};
use machinery::quantity::Quantity;

use crate::checks;
use crate::core::resources;

pub(super) fn validate(status: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = validate_statuses(status, spec, &path.child("resourceClaimStatuses"));
    if let Some(extended) = &status.extended_resource_claim_status {
        errors.extend(validate_extended(extended, spec, &path.child("extendedResourceClaimStatus")));
    }
    let path = path.child("nodeAllocatableResourceClaimStatuses");
    for (index, of) in status.node_allocatable_resource_claim_statuses.iter().flatten().enumerate() {
        errors.extend(validate_allocatable(of, status, spec, &path.index(index)));
    }
    errors
}

/// Shares of the node that a claim of the pod gives to its containers.
fn validate_allocatable(
    of: &NodeAllocatableResourceClaimStatus,
    status: &PodStatus,
    spec: &PodSpec,
    path: &Path,
) -> ErrorList {
    let name = path.child("resourceClaimName");
    let mut errors = ErrorList::new();
    if of.resource_claim_name.is_empty() {
        errors.push(Error::required(&name, "must not be empty"));
    }
    let named = spec.resource_claims.iter().flatten().filter_map(|claim| claim.resource_claim_name.as_ref());
    let made = status.resource_claim_statuses.iter().flatten();
    let mut known = named.chain(made.filter_map(|claim| claim.resource_claim_name.as_ref()));
    if !known.any(|known| *known == of.resource_claim_name) {
        let detail = "no mapping found in pod reference";
        errors.push(Error::invalid(&name, &of.resource_claim_name, detail));
    }
    if of.containers.as_ref().is_none_or(Vec::is_empty) {
        errors.push(Error::required(&path.child("containers"), "must not be empty"));
    }
    let path = path.child("resources");
    let amounts = of.resources.iter();
    if amounts.len() == 0 {
        errors.push(Error::required(&path, "must not be empty"));
    }
    for (resource, amount) in amounts {
        let path = path.key(resource);
        if !resources::is_native(resource) {
            let detail = "must be a node allocatable resource name";
            errors.push(Error::invalid(&path, resource, detail).named());
        }
        let amount = Quantity::parse(&amount.0).ok().filter(|amount| *amount < Quantity::default());
        errors.extend(amount.map(|amount| Error::invalid(&path, amount.to_string(), "must be non-negative")));
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
        let wrong = claim.flat_map(|claim| checks::reference(claim, &path.child("resourceClaimName")));
        errors.extend(wrong.map(Error::named));
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
