//! Taints of devices and what tolerates them (upstream: `validateDeviceTaint`, `validateDeviceToleration`).

use k8s_openapi::api::resource::v1::{DeviceTaint, DeviceToleration};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks::{self, text};
use crate::defaults;

const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];
const OPERATORS: &[&str] = &["Equal", "Exists"];

/// Errors of a taint.
pub(super) fn validate_taint(taint: &DeviceTaint, path: &Path) -> ErrorList {
    let mut errors = checks::label_key(&taint.key, &path.child("key"));
    errors.extend(label_value(text(&taint.value), &path.child("value")));
    errors.extend(checks::one_of(Some(&taint.effect), EFFECTS, &path.child("effect")));
    errors
}

/// What a toleration leaves out.
pub(super) fn set_defaults(tolerations: Option<&mut Vec<DeviceToleration>>) {
    let set = |toleration: &mut DeviceToleration| defaults::string(&mut toleration.operator, "Equal");
    tolerations.into_iter().flatten().for_each(set);
}

/// Errors of tolerations in the list `tolerations` beneath `path`.
pub(super) fn validate_tolerations(tolerations: Option<&[DeviceToleration]>, path: &Path) -> ErrorList {
    super::lists::each(tolerations.unwrap_or_default(), &path.child("tolerations"), validate_toleration)
}

fn validate_toleration(toleration: &DeviceToleration, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !text(&toleration.key).is_empty() {
        errors.extend(checks::label_key(text(&toleration.key), &path.child("key")));
    }
    let (value, value_path) = (text(&toleration.value), path.child("value"));
    match text(&toleration.operator) {
        "Exists" if !value.is_empty() => {
            errors.push(Error::invalid(&value_path, value, "must be empty for operator `Exists`"));
        }
        "Exists" => {}
        "Equal" => errors.extend(label_value(value, &value_path)),
        other => errors.extend(checks::one_of(Some(other), OPERATORS, &path.child("operator"))),
    }
    if !text(&toleration.effect).is_empty() {
        errors.extend(checks::supported_only(text(&toleration.effect), EFFECTS, &path.child("effect")));
    }
    errors
}

fn label_value(value: &str, path: &Path) -> ErrorList {
    checks::each(path, value, names::label_value(value))
}
