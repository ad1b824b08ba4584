//! Names and amounts of compute resources (upstream: `validateResourceRequirements`, `pkg/apis/core/helper`).
//!
//! Called by the validation of pods, pod templates and nodes with the lists that they hold.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ResourceClaim, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use machinery::quantity::Quantity;

use crate::checks;

const HUGE_PAGES: &str = "hugepages-";
const REQUESTS: &str = "requests.";

/// Counted resources that only quotas know.
const INTEGERS: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

const FOR_CONTAINERS: &[&str] = &["cpu", "memory", "ephemeral-storage"];

const FOR_QUOTAS: &[&str] = &[
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "storage",
    "requests.storage",
];

pub(super) fn is_huge_page(name: &str) -> bool {
    name.starts_with(HUGE_PAGES)
}

/// Whether Kubernetes itself knows the resource.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a node's or a driver's own resource may have the name.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with(REQUESTS)
        && names::qualified_name(&format!("{REQUESTS}{name}")).is_empty()
}

pub(super) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// The resources that a pod as a whole may ask for.
pub(super) fn is_for_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// Names of resources have a type of their own, which shows in messages.
fn wrong_name(name: &str, path: &Path, detail: impl Into<String>) -> Error {
    Error::invalid(path, name, detail).named()
}

fn validate_name(name: &str, path: &Path) -> ErrorList {
    let messages = names::qualified_name(name).into_iter();
    let mut errors: ErrorList = messages.map(|message| wrong_name(name, path, message)).collect();
    let lists = [FOR_CONTAINERS, FOR_QUOTAS, INTEGERS];
    let is_standard = is_huge_page(name) || lists.iter().any(|list| list.contains(&name));
    if errors.is_empty() && !name.contains('/') && !is_standard {
        errors.push(wrong_name(name, path, "must be a standard resource type or fully qualified"));
    }
    errors
}

fn validate_container_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = validate_name(name, path);
    if !name.contains('/') {
        if !is_huge_page(name) && !FOR_CONTAINERS.contains(&name) {
            errors.push(wrong_name(name, path, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && !is_extended(name) {
        errors.push(wrong_name(name, path, "doesn't follow extended resource name standard"));
    }
    errors
}

fn validate_pod_name(name: &str, path: &Path) -> ErrorList {
    let mut errors = validate_name(name, path);
    if errors.is_empty() && !is_for_pods(name) {
        errors.push(Error::not_supported(path, name, &["cpu", HUGE_PAGES, "memory"]));
    }
    errors
}

/// An amount must not be negative, and whole where the resource is counted.
pub(super) fn validate_quantity(name: &str, text: &Text, path: &Path) -> ErrorList {
    let Ok(quantity) = Quantity::parse(&text.0) else { return ErrorList::new() };
    let mut errors = ErrorList::new();
    if quantity < Quantity::default() {
        errors.push(Error::invalid(path, quantity.to_string(), "must be greater than or equal to 0"));
    }
    if (INTEGERS.contains(&name) || is_extended(name)) && quantity.wrapping_milli_value() % 1000 != 0 {
        errors.push(Error::invalid(path, quantity.to_string(), "must be an integer"));
    }
    errors
}

/// Whether an amount of this kind of huge pages is so many whole pages.
pub(super) fn is_whole_pages(name: &str, quantity: &Quantity) -> bool {
    let size = name.strip_prefix(HUGE_PAGES).and_then(|size| Quantity::parse(size).ok());
    size.is_some_and(|size| {
        let is_size = size > Quantity::default() && size.wrapping_milli_value() % 1000 == 0;
        is_size && size.value() != 0 && quantity.wrapping_value() % size.value() == 0
    })
}

fn validate_huge_page(name: &str, quantity: &Quantity, path: &Path) -> Option<Error> {
    let is_wrong = is_huge_page(name) && !is_whole_pages(name, quantity);
    let detail = format!("{quantity} is not positive integer multiple of {name}");
    is_wrong.then(|| Error::invalid(path, quantity.to_string(), detail))
}

/// What the amounts of a container or pod may refer to.
pub(super) struct Terms<'a> {
    /// The names in the pod's `resourceClaims`.
    pub(super) claims: &'a BTreeSet<&'a str>,
    /// Whether huge pages may be fractions of pages, as older servers took them.
    pub(super) fractions: bool,
}

/// Requests and limits of a container.
pub(super) fn validate_container(
    requirements: &ResourceRequirements,
    terms: &Terms<'_>,
    path: &Path,
) -> ErrorList {
    validate(requirements, validate_container_name, terms, path)
}

/// Requests and limits of a pod as a whole.
pub(super) fn validate_pod(requirements: &ResourceRequirements, terms: &Terms<'_>, path: &Path) -> ErrorList {
    validate(requirements, validate_pod_name, terms, path)
}

fn validate(
    requirements: &ResourceRequirements,
    validate_name: impl Fn(&str, &Path) -> ErrorList,
    terms: &Terms<'_>,
    path: &Path,
) -> ErrorList {
    let empty = BTreeMap::new();
    let limits = requirements.limits.as_ref().unwrap_or(&empty);
    let requests = requirements.requests.as_ref().unwrap_or(&empty);
    let mut errors = ErrorList::new();
    for (name, text) in limits {
        let path = path.child("limits").key(name);
        errors.extend(validate_name(name, &path));
        errors.extend(validate_quantity(name, text, &path));
        if let (Ok(quantity), false) = (Quantity::parse(&text.0), terms.fractions) {
            errors.extend(validate_huge_page(name, &quantity, &path));
        }
    }
    for (name, text) in requests {
        let path_of = path.child("requests").key(name);
        errors.extend(validate_name(name, &path_of));
        errors.extend(validate_quantity(name, text, &path_of));
        errors.extend(validate_request(name, text, limits.get(name), path));
        if let (Ok(quantity), false) = (Quantity::parse(&text.0), terms.fractions) {
            errors.extend(validate_huge_page(name, &quantity, &path_of));
        }
    }
    let named =
        |matches: &dyn Fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| matches(name));
    if named(&is_huge_page) && !named(&|name| matches!(name, "cpu" | "memory")) {
        errors.push(Error::forbidden(path, "HugePages require cpu or memory"));
    }
    let wanted = requirements.claims.as_deref().unwrap_or_default();
    errors.extend(validate_claims(wanted, terms.claims, &path.child("claims")));
    errors
}

fn validate_request(name: &str, request: &Text, limit: Option<&Text>, path: &Path) -> Option<Error> {
    let request = Quantity::parse(&request.0).ok()?;
    let may_differ = is_overcommit_allowed(name);
    let Some(limit) = limit else {
        let detail = "Limit must be set for non overcommitable resources";
        return (!may_differ).then(|| Error::required(&path.child("limits"), detail));
    };
    let limit = Quantity::parse(&limit.0).ok()?;
    let detail = match request.cmp(&limit) {
        std::cmp::Ordering::Equal => return None,
        _ if !may_differ => format!("must be equal to {name} limit of {limit}"),
        std::cmp::Ordering::Greater => format!("must be less than or equal to {name} limit of {limit}"),
        std::cmp::Ordering::Less => return None,
    };
    Some(Error::invalid(&path.child("requests"), request.to_string(), detail))
}

fn validate_claims(wanted: &[ResourceClaim], claims: &BTreeSet<&str>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, claim) in wanted.iter().enumerate() {
        let path = path.index(index);
        if claim.name.is_empty() {
            errors.push(Error::required(&path, ""));
            continue;
        }
        let request = checks::text(&claim.request);
        if !request.is_empty() {
            errors.extend(checks::dns_label(request, &path.child("request")));
        }
        let before: Vec<(&str, &str)> = wanted[..index]
            .iter()
            .filter(|other| other.name == claim.name)
            .map(|other| (other.name.as_str(), checks::text(&other.request)))
            .collect();
        let is_whole_taken = before.iter().any(|(_, request)| request.is_empty());
        if is_whole_taken || (request.is_empty() && !before.is_empty()) {
            errors.push(Error::duplicate(&path, claim.name.as_str()));
        } else if before.iter().any(|(_, other)| *other == request) {
            errors.push(Error::duplicate(&path, format!("{}/{request}", claim.name)));
        }
        if !claims.contains(claim.name.as_str()) {
            errors.push(unknown_claim(&claim.name, claims, &path));
        }
    }
    errors
}

fn unknown_claim(name: &str, claims: &BTreeSet<&str>, path: &Path) -> Error {
    let mut error = Error::not_found(path, name);
    let known: Vec<&str> = claims.iter().copied().collect();
    error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
    if known.is_empty() {
        error.detail.push_str(" which is empty");
    } else {
        error.detail.push_str(": ");
        error.detail.push_str(&known.join(", "));
    }
    error
}

/// Amounts are kept to a thousandth.
pub(super) fn round_up(amounts: &mut BTreeMap<String, Text>) {
    for text in amounts.values_mut() {
        let Ok(quantity) = Quantity::parse(&text.0) else { continue };
        let milli = quantity.milli_value();
        let rounded = Quantity::from_milli(milli, quantity.format());
        if milli < i64::MAX && rounded > quantity {
            *text = Text(rounded.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
