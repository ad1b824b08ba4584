//! A device's attributes: one value each (upstream: `validateDeviceAttribute`).

use k8s_openapi::api::resource::v1::DeviceAttribute;
use machinery::field::{Error, ErrorList, Path};
use serde_json::json;

const MAX_VALUE: usize = 64;

/// Errors of an attribute. Attributes with several values are dropped before, as they are upstream by default.
pub(super) fn validate(attribute: &DeviceAttribute, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if let Some(text) = &attribute.string {
        errors.extend(too_long(text, &path.child("string")));
    }
    if let Some(version) = &attribute.version {
        let path = path.child("version");
        if !is_semantic_version(version) {
            let detail = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(Error::invalid(&path, version.as_str(), detail));
        }
        errors.extend(too_long(version, &path));
    }
    let set = [
        attribute.bool.is_some(),
        attribute.int.is_some(),
        attribute.string.is_some(),
        attribute.version.is_some(),
    ];
    let detail = "exactly one value must be specified";
    match set.iter().filter(|is_set| **is_set).count() {
        0 => errors.push(Error::invalid(path, "", detail)),
        1 => {}
        _ => errors.push(Error::invalid(path, shown(attribute), detail)),
    }
    errors
}

/// The attribute as upstream prints it.
fn shown(attribute: &DeviceAttribute) -> machinery::json::Tree<'static> {
    let DeviceAttribute { bool, int, string, version, .. } = attribute;
    let members = [
        ("IntValue", json!(int)),
        ("BoolValue", json!(bool)),
        ("StringValue", json!(string)),
        ("VersionValue", json!(version)),
        ("IntValues", json!(null)),
        ("BoolValues", json!(null)),
        ("StringValues", json!(null)),
        ("VersionValues", json!(null)),
    ];
    let tree = |value| machinery::json::to_tree(&value).expect("a JSON value is plain data");
    let members = members.into_iter().map(|(name, value)| (name.into(), tree(value)));
    machinery::json::Tree::Object(members.collect())
}

fn too_long(text: &str, path: &Path) -> Option<Error> {
    (text.len() > MAX_VALUE).then(|| Error::too_long(path, MAX_VALUE))
}

/// The grammar of semver.org's version 2.0.0; numbers may be of any size.
fn is_semantic_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(|part| is_number(part) || is_word_with_letter(part)))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

fn is_number(text: &str) -> bool {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_word_with_letter(text: &str) -> bool {
    is_word(text) && !text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_semantic() {
        for right in ["1.2.3", "0.0.0-alpha.1", "1.0.0-0a+build.01", "1.0.0+a-b"] {
            assert!(is_semantic_version(right), "{right}");
        }
        for wrong in ["", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.3+a+b", "v1.2.3"] {
            assert!(!is_semantic_version(wrong), "{wrong}");
        }
    }
}
