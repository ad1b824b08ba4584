//! Checks of single values that only pods have.

use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

/// The mode of a file.
pub(super) fn file_mode(mode: Option<i32>, path: &Path) -> Option<Error> {
    let mode = mode.filter(|mode| !(0..=0o777).contains(mode))?;
    Some(Error::invalid(path, mode, MODE))
}

/// The path of a file within a volume; names that begin with `..` are the kubelet's.
pub(super) fn file_path(value: &str, path: &Path) -> ErrorList {
    let mut errors = checks::descending_path(value, path);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(Error::invalid(path, value, "must not start with '..'"));
    }
    errors
}

/// A domain to search; unlike elsewhere its labels may hold underscores.
pub(super) fn search_domain(value: &str, path: &Path) -> ErrorList {
    let mut messages = vec![];
    if value.len() > 253 {
        messages.push("must be no more than 253 characters".to_owned());
    }
    let is_formed = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        let is_end =
            |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let bytes = label.as_bytes();
        is_end(bytes.first())
            && is_end(bytes.last())
            && bytes.iter().all(|byte| is_end(Some(byte)) || matches!(byte, b'-' | b'_'))
    };
    let pattern = || {
        names::regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        )
    };
    messages.extend((!value.split('.').all(is_formed)).then(pattern));
    checks::each(path, value, messages)
}

/// The name of an environment variable.
pub(super) fn env_name(value: &str, path: &Path) -> ErrorList {
    checks::each(path, value, names::env_var_name(value))
}
