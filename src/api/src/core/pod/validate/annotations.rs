//! Annotations that mean something to pods (upstream: `ValidatePodSpecificAnnotations` and its update).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use machinery::field::{Error, ErrorList, Path};

use crate::checks::{self, text};

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

type Annotations = BTreeMap<String, String>;

pub(in super::super) fn annotations(given: Option<&Annotations>, spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (key, value) in given.into_iter().flatten() {
        let value = value.as_str();
        if key == MIRROR && text(&spec.node_name).is_empty() {
            let detail = "must set spec.nodeName if mirror pod annotation is set";
            errors.push(Error::invalid(&path.key(key), value, detail));
        }
        if key == DELETION_COST && !is_cost(value) {
            errors.push(Error::invalid(&path.key(key), value, "must be a 32bit integer"));
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP) {
            errors.extend(seccomp(value, &path.child(key)));
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            errors.extend(app_armor(container, value, spec, &path.key(key)));
        }
    }
    errors
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

/// What identifies a mirror pod, and profiles, are decided once.
pub(in super::super) fn annotations_update(
    new: Option<&Annotations>,
    old: Option<&Annotations>,
    path: &Path,
) -> ErrorList {
    let unset = Annotations::new();
    let (new, old) = (new.unwrap_or(&unset), old.unwrap_or(&unset));
    let is_fixed = |key: &str| key == MIRROR || key.starts_with(APP_ARMOR);
    let what = |key: &str| if key == MIRROR { "mirror pod annotation" } else { "AppArmor annotations" };
    let changed = old.iter().filter(|(key, value)| is_fixed(key) && new.get(*key) != Some(*value));
    let added = new.keys().filter(|key| is_fixed(key) && !old.contains_key(*key));
    let mut errors: ErrorList = changed
        .map(|(key, _)| Error::forbidden(&path.key(key), format!("may not remove or update {}", what(key))))
        .collect();
    errors.extend(added.map(|key| Error::forbidden(&path.key(key), format!("may not add {}", what(key)))));
    errors
}
