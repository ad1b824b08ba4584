//! What access reviews ask about: the rules that all of them share (upstream: `pkg/apis/authorization/validation`).

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldSelectorRequirement, ObjectMeta};
use machinery::field::{Error, ErrorList, Path};
use machinery::json::Tree;
use machinery::meta;

use crate::checks;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const NON_RESOURCE: &str = "io.k8s.api.authorization.v1.NonResourceAttributes";

/// A path as messages show it.
pub(super) fn shown(attributes: &NonResourceAttributes) -> Tree<'static> {
    checks::internal(NON_RESOURCE, attributes)
}

/// A review asks about a resource or about a path, never both.
pub(super) fn validate(
    resource: Option<&ResourceAttributes>,
    non_resource: Option<&NonResourceAttributes>,
) -> ErrorList {
    let path = Path::new("spec");
    match (resource, non_resource) {
        (Some(_), Some(attributes)) => {
            let detail = "cannot be specified in combination with resourceAttributes";
            vec![Error::invalid(&path.child("nonResourceAttributes"), shown(attributes), detail)]
        }
        (None, None) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![Error::invalid(&path.child("resourceAttributes"), (), detail)]
        }
        _ => vec![],
    }
}

/// A review on behalf of somebody names him or his groups.
pub(super) fn validate_spec(spec: &SubjectAccessReviewSpec) -> ErrorList {
    let resource = spec.resource_attributes.as_ref();
    let mut errors = validate(resource, spec.non_resource_attributes.as_ref());
    let user = checks::text(&spec.user);
    if user.is_empty() && spec.groups.as_ref().is_none_or(Vec::is_empty) {
        let detail = "at least one of user or group must be specified";
        errors.push(Error::invalid(&Path::new("spec.user"), user, detail));
    }
    errors.extend(validate_selectors(resource));
    errors
}

/// Selectors are given as text or as requirements.
pub(super) fn validate_selectors(resource: Option<&ResourceAttributes>) -> ErrorList {
    let Some(resource) = resource else { return vec![] };
    let path = Path::new("spec.resourceAttributes");
    let mut errors = ErrorList::new();
    if let Some(selector) = &resource.field_selector {
        let count = selector.requirements.as_ref().map_or(0, Vec::len);
        errors.extend(validate_selector(
            checks::text(&selector.raw_selector),
            count,
            &path.child("fieldSelector"),
        ));
        let path = path.child("fieldSelector.requirements");
        for (index, requirement) in selector.requirements.iter().flatten().enumerate() {
            errors.extend(validate_field_requirement(requirement, &path.index(index)));
        }
    }
    if let Some(selector) = &resource.label_selector {
        let count = selector.requirements.as_ref().map_or(0, Vec::len);
        errors.extend(validate_selector(
            checks::text(&selector.raw_selector),
            count,
            &path.child("labelSelector"),
        ));
        let path = path.child("labelSelector.requirements");
        for (index, requirement) in selector.requirements.iter().flatten().enumerate() {
            errors.extend(meta::validate_label_requirement(requirement, &path.index(index)));
        }
    }
    errors
}

/// Operators that only newer servers know are let through.
fn validate_field_requirement(requirement: &FieldSelectorRequirement, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if requirement.key.is_empty() {
        errors.push(Error::required(&path.child("key"), "must be specified"));
    }
    let has_values = requirement.values.as_ref().is_some_and(|values| !values.is_empty());
    match requirement.operator.as_str() {
        "In" | "NotIn" if !has_values => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(Error::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if has_values => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(Error::forbidden(&path.child("values"), detail));
        }
        _ => {}
    }
    errors
}

fn validate_selector(raw: &str, requirements: usize, path: &Path) -> Option<Error> {
    match (raw, requirements) {
        ("", 0) => {
            let detail = format!("when {path} is specified, requirements or rawSelector is required");
            Some(Error::required(&path.child("requirements"), detail))
        }
        ("", _) | (_, 0) => None,
        _ => {
            let detail = "may not specified at the same time as requirements";
            Some(Error::invalid(&path.child("rawSelector"), raw, detail))
        }
    }
}

/// A review has no metadata; `detail` says what it may have all the same.
pub(super) fn validate_meta(meta: &ObjectMeta, allowed: &ObjectMeta, detail: &str) -> Option<Error> {
    let mut rest = meta.clone();
    rest.managed_fields = None;
    (!checks::same(META, &rest, allowed))
        .then(|| Error::invalid(&Path::new("metadata"), checks::in_order(META, meta), detail))
}
