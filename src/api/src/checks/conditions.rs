//! Conditions of the common form (upstream: `ValidateConditions` of `apimachinery/pkg/apis/meta/v1/validation`).

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

const MAX_REASON: usize = 1024;
const MAX_MESSAGE: usize = 32 * 1024;
const STATUSES: &[&str] = &["False", "True", "Unknown"];

/// Errors of a list of conditions, of which each type occurs once.
pub(crate) fn conditions(conditions: &[Condition], path: &Path) -> ErrorList {
    let mut seen = BTreeSet::new();
    let mut errors = ErrorList::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        if !seen.insert(&condition.type_) {
            errors.push(Error::duplicate(&path.child("type"), condition.type_.as_str()));
        }
        errors.extend(validate(condition, &path));
    }
    errors
}

fn validate(condition: &Condition, path: &Path) -> ErrorList {
    let mut errors = super::label_key(&condition.type_, &path.child("type"));
    errors.extend(super::supported_only(&condition.status, STATUSES, &path.child("status")));
    if let Some(generation) = condition.observed_generation.filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(Error::invalid(&path.child("observedGeneration"), generation, detail));
    }
    errors.extend(validate_reason(&condition.reason, &path.child("reason")));
    if condition.message.len() > MAX_MESSAGE {
        errors.push(Error::too_long(&path.child("message"), MAX_MESSAGE));
    }
    errors
}

fn validate_reason(reason: &str, path: &Path) -> ErrorList {
    if reason.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if !is_reason(reason) {
        let rule = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
        let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
        let detail = names::regex(rule, "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", &examples);
        errors.push(Error::invalid(path, reason, detail));
    }
    if reason.len() > MAX_REASON {
        errors.push(Error::too_long(path, MAX_REASON));
    }
    errors
}

fn is_reason(reason: &str) -> bool {
    let bytes = reason.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|&byte| is_word(byte) || matches!(byte, b',' | b':'))
        && bytes.last().is_some_and(|&byte| is_word(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_with_commas_and_colons_between() {
        for right in ["A", "ReasonA,ReasonB", "a:b_"] {
            assert!(is_reason(right), "{right}");
        }
        for wrong in ["", "1a", "a b", "a,", "_a"] {
            assert!(!is_reason(wrong), "{wrong}");
        }
    }
}
