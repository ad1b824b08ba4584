//! Checks of single values that several kinds make, each answering field errors in upstream's words.
//!
//! Called by the kinds' validation with the value and its path (upstream: the small functions of
//! `pkg/apis/core/validation` and `apimachinery/pkg/util/validation`). Rules about names as such are `machinery::names`'.

mod conditions;
mod go;
mod metadata;
mod network;
mod same;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, ErrorList, Path};
use machinery::{meta, names};
use serde::Serialize;

pub(crate) use conditions::conditions;
pub(crate) use go::{in_order, internal};
pub(crate) use metadata::{keep_metadata, kube_finalizer, metadata, metadata_update};
pub(crate) use network::{
    Cidr, cidr_warnings, dual_stack, endpoint_ip, interface_address, ip_warnings, kept_cidr, kept_ip,
    legacy_cidr, legacy_ip, parse_ip, strict_cidr, strict_ip,
};
pub(crate) use same::{same, same_map};

/// One "Invalid value" per message.
pub(crate) fn each(path: &Path, value: impl Serialize + Copy, messages: Vec<String>) -> ErrorList {
    messages.into_iter().map(|message| Error::invalid(path, value, message)).collect()
}

/// A DNS label, such as a container's name.
pub(crate) fn dns_label(value: &str, path: &Path) -> ErrorList {
    each(path, value, names::dns1123_label(value))
}

/// A DNS subdomain, such as a host name in an alias.
pub(crate) fn dns_subdomain(value: &str, path: &Path) -> ErrorList {
    each(path, value, names::dns1123_subdomain(value))
}

/// `[prefix/]name`, such as a condition's type.
pub(crate) fn qualified_name(value: &str, path: &Path) -> ErrorList {
    each(path, value, names::qualified_name(value))
}

/// The key of a label.
pub(crate) fn label_key(key: &str, path: &Path) -> ErrorList {
    qualified_name(key, path)
}

/// A label selector, which may be absent.
pub(crate) fn label_selector(selector: Option<&LabelSelector>, path: &Path) -> ErrorList {
    selector.map(|selector| meta::validate_label_selector(selector, path)).unwrap_or_default()
}

/// The name of another object, in the subdomain form that most kinds have.
pub(crate) fn reference(value: &str, path: &Path) -> ErrorList {
    each(path, value, names::dns1123_subdomain(value))
}

/// As [`reference()`], with an answer of its own for an empty name.
pub(crate) fn required_reference(value: &str, path: &Path) -> ErrorList {
    if value.is_empty() { vec![Error::required(path, "")] } else { reference(value, path) }
}

/// The name of a storage or device driver (upstream: `ValidateCSIDriverName`).
pub(crate) fn driver_name(value: &str, path: &Path) -> ErrorList {
    const MAX: usize = 63;
    if value.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if value.len() > MAX {
        errors.push(Error::too_long(path, MAX));
    }
    errors.extend(each(path, value, names::dns1123_subdomain(&value.to_lowercase())));
    errors
}

/// A TCP, UDP or SCTP port.
pub(crate) fn port_number(port: i32, path: &Path) -> ErrorList {
    each(path, port, names::port_number(port.into()))
}

/// A port's number or the name of a container's port.
pub(crate) fn port_number_or_name(port: &IntOrString, path: &Path) -> ErrorList {
    match port {
        IntOrString::Int(number) => port_number(*number, path),
        IntOrString::String(name) => each(path, name.as_str(), names::port_name(name)),
    }
}

/// A user or group id.
pub(crate) fn id(value: i64, path: &Path) -> ErrorList {
    each(path, value, names::user_or_group_id(value))
}

/// A number that must not be negative.
pub(crate) fn nonnegative(value: i64, path: &Path) -> ErrorList {
    if value < 0 { vec![Error::invalid(path, value, "must be greater than or equal to 0")] } else { vec![] }
}

/// A number that must be above zero.
pub(crate) fn positive(value: i64, path: &Path) -> ErrorList {
    if value <= 0 { vec![Error::invalid(path, value, "must be greater than 0")] } else { vec![] }
}

/// A value that must not change once set.
pub(crate) fn immutable<T: PartialEq + Serialize>(new: &T, old: &T, path: &Path) -> ErrorList {
    if new == old { vec![] } else { vec![Error::invalid(path, new, "field is immutable")] }
}

/// A required value out of a fixed set, given in the order in which upstream lists it.
pub(crate) fn one_of(value: Option<&str>, supported: &[&str], path: &Path) -> ErrorList {
    match value.unwrap_or_default() {
        "" => vec![Error::required(path, "")],
        other => supported_only(other, supported, path),
    }
}

/// A value out of a fixed set; the empty string is as wrong as any other.
pub(crate) fn supported_only(value: &str, supported: &[&str], path: &Path) -> ErrorList {
    if supported.contains(&value) { vec![] } else { vec![Error::not_supported(path, value, supported)] }
}

/// A path that may not climb out of where it starts.
pub(crate) fn no_backsteps(value: &str, path: &Path) -> ErrorList {
    if value.split('/').any(|part| part == "..") {
        vec![Error::invalid(path, value, "must not contain '..'")]
    } else {
        vec![]
    }
}

/// A relative path that stays beneath where it starts.
pub(crate) fn descending_path(value: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if value.starts_with('/') {
        errors.push(Error::invalid(path, value, "must be a relative path"));
    }
    errors.extend(no_backsteps(value, path));
    errors
}

/// What a template's metadata hands on to the objects made from it: labels and annotations, and nothing else (upstream:
/// `ValidateTemplateObjectMeta`).
pub(crate) fn template_metadata(metadata: &ObjectMeta, path: &Path) -> ErrorList {
    let mut errors = meta::validate_annotations(metadata.annotations.as_ref(), &path.child("annotations"));
    errors.extend(meta::validate_labels(metadata.labels.as_ref(), &path.child("labels")));
    let has = |value: &Option<String>| !text(value).is_empty();
    let unfit = [
        ("name", has(&metadata.name)),
        ("generateName", has(&metadata.generate_name)),
        ("namespace", has(&metadata.namespace)),
        ("selfLink", has(&metadata.self_link)),
        ("uID", has(&metadata.uid)),
        ("resourceVersion", has(&metadata.resource_version)),
        ("generation", metadata.generation.unwrap_or_default() != 0),
        ("creationTimestamp", metadata.creation_timestamp.is_some()),
        ("deletionTimestamp", metadata.deletion_timestamp.is_some()),
        ("deletionGracePeriodSeconds", metadata.deletion_grace_period_seconds.is_some()),
        ("ownerReferences", metadata.owner_references.is_some()),
        ("finalizers", metadata.finalizers.is_some()),
        ("managedFields", metadata.managed_fields.is_some()),
    ];
    let unfit = unfit.into_iter().filter(|(_, is_set)| *is_set);
    errors.extend(unfit.map(|(name, _)| Error::forbidden(&path.child(name), "cannot be set")));
    errors
}

/// Whether `new` is smaller than `old`; becoming absent counts.
pub(crate) fn is_decremented(new: Option<i32>, old: Option<i32>) -> bool {
    match (new, old) {
        (None, Some(_)) => true,
        (Some(new), Some(old)) => new < old,
        _ => false,
    }
}

/// A string field, of which upstream does not tell absent from empty.
pub(crate) fn text(field: &Option<String>) -> &str {
    field.as_deref().unwrap_or_default()
}
