//! Annotations that mean something to pods (upstream: `ValidatePodSpecificAnnotations` and its update).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile};
use machinery::field::{Error, ErrorList, Path};

use super::{Allowed, tolerations};
use crate::checks::{self, text};

pub(in super::super) const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

type Annotations = BTreeMap<String, String>;

/// Errors of the annotations, in the order in which upstream looks for them.
pub(in super::super) fn annotations(
    given: Option<&Annotations>,
    spec: &PodSpec,
    allowed: &Allowed,
    path: &Path,
) -> ErrorList {
    let unset = Annotations::new();
    let given = given.unwrap_or(&unset);
    let mut errors = ErrorList::new();
    if let (Some(value), true) = (given.get(MIRROR), text(&spec.node_name).is_empty()) {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(Error::invalid(&path.key(MIRROR), value.as_str(), detail));
    }
    errors.extend(tolerations::validate(given, allowed, path));
    if let (Some(cost), false) =
        (given.get(DELETION_COST).filter(|cost| !is_cost(cost)), allowed.deletion_cost)
    {
        errors.push(Error::invalid(&path.key(DELETION_COST), cost.as_str(), "must be a 32bit integer"));
    }
    if let Some(value) = given.get(SECCOMP_POD) {
        errors.extend(seccomp(value, &path.child(SECCOMP_POD)));
    }
    for (key, value) in given.iter().filter(|(key, _)| key.starts_with(SECCOMP)) {
        errors.extend(seccomp(value, &path.child(key)));
    }
    for (key, value) in given {
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            errors.extend(app_armor(container, value, spec, &path.key(key)));
        }
    }
    errors
}

/// Profiles by annotation say of a new pod what its fields say, if both do (upstream:
/// `validateSeccompAnnotationsAndFields`, `validateAppArmorAnnotationsAndFieldsMatchOnCreate`).
pub(in super::super) fn profiles(given: Option<&Annotations>, spec: &PodSpec, path: &Path) -> ErrorList {
    let unset = Annotations::new();
    let given = given.unwrap_or(&unset);
    let of_pod = spec.security_context.as_ref();
    let mut errors = ErrorList::new();
    let seccomp_of_pod = of_pod.and_then(|context| context.seccomp_profile.as_ref());
    if let (Some(profile), Some(annotation)) = (seccomp_of_pod, given.get(SECCOMP_POD)) {
        let path = path.child("securityContext.seccompProfile");
        errors.extend(seccomp_mismatch(annotation, profile, &path));
    }
    let containers = super::containers_with_paths(spec, path);
    for (container, path) in &containers {
        let context = container.security_context.as_ref();
        let profile = context.and_then(|context| context.seccomp_profile.as_ref());
        let annotation = given.get(&format!("{SECCOMP}{}", container.name));
        if let (Some(profile), Some(annotation)) = (profile, annotation) {
            let path = path.child("securityContext.seccompProfile");
            errors.extend(seccomp_mismatch(annotation, profile, &path));
        }
    }
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return errors;
    }
    for (container, path) in &containers {
        let context = container.security_context.as_ref();
        let own = context.and_then(|context| context.app_armor_profile.as_ref());
        let profile = own.or_else(|| of_pod.and_then(|context| context.app_armor_profile.as_ref()));
        let annotation = given.get(&format!("{APP_ARMOR}{}", container.name));
        if let (Some(profile), Some(annotation)) = (profile, annotation) {
            let path = path.child("securityContext.appArmorProfile");
            errors.extend(app_armor_mismatch(annotation, profile, &path));
        }
    }
    errors
}

fn seccomp_mismatch(annotation: &str, profile: &SeccompProfile, path: &Path) -> Option<Error> {
    let wrong_type =
        || Error::forbidden(&path.child("type"), "seccomp type in annotation and field must match");
    match profile.type_.as_str() {
        "Unconfined" => (annotation != "unconfined").then(wrong_type),
        "RuntimeDefault" => (!matches!(annotation, "runtime/default" | "docker/default")).then(wrong_type),
        "Localhost" => match annotation.strip_prefix("localhost/") {
            None => Some(wrong_type()),
            file => (file != profile.localhost_profile.as_deref()).then(|| {
                let detail = "seccomp profile in annotation and field must match";
                Error::forbidden(&path.child("localhostProfile"), detail)
            }),
        },
        _ => None,
    }
}

fn app_armor_mismatch(annotation: &str, profile: &AppArmorProfile, path: &Path) -> Option<Error> {
    let wrong_type =
        || Error::forbidden(&path.child("type"), "apparmor type in annotation and field must match");
    match profile.type_.as_str() {
        "Unconfined" => (annotation != "unconfined").then(wrong_type),
        "RuntimeDefault" => (annotation != "runtime/default").then(wrong_type),
        "Localhost" => match annotation.strip_prefix("localhost/") {
            None => Some(wrong_type()),
            file => (file != profile.localhost_profile.as_deref()).then(|| {
                let detail = "apparmor profile in annotation and field must match";
                Error::forbidden(&path.child("localhostProfile"), detail)
            }),
        },
        _ => None,
    }
}

/// Whether the deletion cost is no number.
pub(super) fn has_wrong_cost(given: Option<&Annotations>) -> bool {
    given.and_then(|given| given.get(DELETION_COST)).is_some_and(|cost| !is_cost(cost))
}

/// Upstream takes a sign only where it is a minus, and no leading zeros.
fn is_cost(value: &str) -> bool {
    let has_padding = value.len() > 1 && (value.starts_with('0') || value.starts_with('+'));
    !has_padding && value.parse::<i32>().is_ok()
}

fn seccomp(value: &str, path: &Path) -> ErrorList {
    match value.strip_prefix("localhost/") {
        Some(file) => checks::descending_path(file, path),
        None if matches!(value, "runtime/default" | "docker/default" | "unconfined") => vec![],
        None => vec![Error::invalid(path, value, "must be a valid seccomp profile")],
    }
}

fn app_armor(container: &str, value: &str, spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut names = spec.init_containers.iter().flatten().chain(&spec.containers).map(|found| &found.name);
    if !names.any(|name| name == container) {
        errors.push(Error::invalid(path, container, "container not found"));
    }
    if !matches!(value, "" | "runtime/default" | "unconfined") && !value.starts_with("localhost/") {
        let detail = format!("invalid AppArmor profile name: {value:?}");
        errors.push(Error::invalid(path, value, detail));
    }
    errors
}

/// What identifies a mirror pod, and profiles, are decided once; after that upstream looks at all of them again.
pub(in super::super) fn annotations_update(
    given: Option<&Annotations>,
    old: Option<&Annotations>,
    spec: &PodSpec,
    allowed: &Allowed,
    path: &Path,
) -> ErrorList {
    let unset = Annotations::new();
    let (new, old) = (given.unwrap_or(&unset), old.unwrap_or(&unset));
    let is_fixed = |key: &str| key == MIRROR || key.starts_with(APP_ARMOR);
    let what = |key: &str| if key == MIRROR { "mirror pod annotation" } else { "AppArmor annotations" };
    let changed = old.iter().filter(|(key, value)| is_fixed(key) && new.get(*key) != Some(*value));
    let added = new.keys().filter(|key| is_fixed(key) && !old.contains_key(*key));
    let mut errors: ErrorList = changed
        .map(|(key, _)| Error::forbidden(&path.key(key), format!("may not remove or update {}", what(key))))
        .collect();
    errors.extend(added.map(|key| Error::forbidden(&path.key(key), format!("may not add {}", what(key)))));
    errors.extend(annotations(given, spec, allowed, path));
    errors
}
