//! What names, labels and keys may look like.
//!
//! Each check answers upstream's sentences for what is wrong with a text, nothing if it is right
//! (`apimachinery/pkg/util/validation` and `pkg/api/validate/content`). Validation puts them into field errors. Never knows
//! which object a text belongs to.

mod grammar;

use grammar::{is_dns1035_label, is_dns1123_label, is_dns1123_subdomain, is_label_key_name};

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FMT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const DNS1123_LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const LABEL_KEY_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// A DNS label: up to 63 of `a-z`, `0-9` and `-`.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 63, "characters");
    if !is_dns1123_label(value) {
        errors.push(if is_dns1123_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex(DNS1123_LABEL_MESSAGE, LABEL_FMT, &["my-name", "123-abc"])
        });
    }
    errors
}

/// DNS labels joined by dots, up to 253 characters.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain(value, "characters")
}

/// `*.` and a subdomain.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 253, "characters");
    if !value.strip_prefix("*.").is_some_and(is_dns1123_subdomain) {
        let message = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        errors.push(regex(message, &format!(r"\*\.{SUBDOMAIN_FMT}"), &["*.example.com"]));
    }
    errors
}

/// A DNS label that starts with a letter, as Services need.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 63, "characters");
    if !is_dns1035_label(value) {
        let message = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        errors.push(regex(message, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// A label key: a name of up to 63 bytes, before it perhaps a DNS subdomain and a slash.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match value.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(subdomain(prefix, "bytes").iter().map(|error| format!("prefix part {error}")));
            }
            name
        }
        _ => {
            let rule = label_key_rule();
            return vec![format!(
                "a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    }
    errors.extend(too_long(name, 63, "bytes").iter().map(|error| format!("name part {error}")));
    if !is_label_key_name(name) {
        errors.push(format!("name part {}", label_key_rule()));
    }
    errors
}

/// The value of a label: empty, or up to 63 bytes like the name of a key.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 63, "bytes");
    if !value.is_empty() && !is_label_key_name(value) {
        let message = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        errors.push(regex(message, &format!("({LABEL_KEY_FMT})?"), &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A name that can be one segment of a URL path.
pub fn path_segment_name(value: &str) -> Vec<String> {
    if matches!(value, "." | "..") {
        return vec![format!("may not be '{value}'")];
    }
    path_segment_prefix(value)
}

/// The beginning of such a name.
pub fn path_segment_prefix(value: &str) -> Vec<String> {
    ["/", "%"]
        .into_iter()
        .filter(|illegal| value.contains(illegal))
        .map(|illegal| format!("may not contain '{illegal}'"))
        .collect()
}

/// The name of a port: up to 15 of `a-z`, `0-9` and single hyphens inside, at least one letter.
pub fn port_name(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 15, "characters");
    let mut unless = |right: bool, message: &str| {
        if !right {
            errors.push(message.to_owned());
        }
    };
    let charset = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    unless(
        !value.is_empty() && value.bytes().all(charset),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    unless(value.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    unless(!value.contains("--"), "must not contain consecutive hyphens");
    unless(!value.starts_with('-') && !value.ends_with('-'), "must not begin or end with a hyphen");
    errors
}

/// A port number.
pub fn port_number(value: i64) -> Vec<String> {
    in_range(value, 1, 65535)
}

/// A number between `low` and `high`, both included.
pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) { vec![] } else { vec![inclusive_range(low, high)] }
}

/// A user or group id.
pub fn user_or_group_id(value: i64) -> Vec<String> {
    in_range(value, 0, i32::MAX.into())
}

/// The name of an environment variable: printable ASCII without `=`.
pub fn env_var_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.is_empty() {
        errors.push("environment variable name must be non-empty".to_owned());
    }
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        errors.push("a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned());
    }
    errors
}

/// A key of a ConfigMap or Secret: a file name of letters, digits, `-`, `_` and `.`.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut errors = too_long(value, 253, "characters");
    let charset = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if value.is_empty() || !value.bytes().all(charset) {
        let message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex(message, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match value {
        "." | ".." => errors.push(format!("must not be '{value}'")),
        _ if value.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// The name of an HTTP header.
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return vec![];
    }
    let message = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![regex(message, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// A percentage such as `25%`.
pub fn percent(value: &str) -> Vec<String> {
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return vec![];
    }
    let message = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![regex(message, "[0-9]+%", &["1%", "93%"])]
}

/// Puts something for a generated suffix to grow on in place of a dash at the end.
pub fn mask_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let kept = rest.char_indices().next_back().map_or(0, |(place, _)| place);
            format!("{}a", &rest[..kept])
        }
        _ => name.to_owned(),
    }
}

/// `must be between … and …, inclusive`
pub fn inclusive_range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// A sentence with examples and the regular expression behind it, as upstream composes it.
pub fn regex(message: &str, expression: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{expression}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{expression}')", examples.join(" or "))
}

fn subdomain(value: &str, unit: &str) -> Vec<String> {
    let mut errors = too_long(value, 253, unit);
    if !is_dns1123_subdomain(value) {
        errors.push(regex(SUBDOMAIN_MESSAGE, SUBDOMAIN_FMT, &["example.com"]));
    }
    errors
}

fn label_key_rule() -> String {
    regex(LABEL_KEY_MESSAGE, LABEL_KEY_FMT, &["MyName", "my.name", "123-abc"])
}

fn too_long(value: &str, max: usize, unit: &str) -> Vec<String> {
    if value.len() > max { vec![format!("must be no more than {max} {unit}")] } else { vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&str) -> Vec<String>, value: &str, errors: &[&str]) {
        assert_eq!(rule(value), errors, "{value}");
    }

    #[test]
    fn dns_names_are_checked() {
        check(dns1123_label, "a-1", &[]);
        check(dns1123_label, "a.b", &["must not contain dots"]);
        check(dns1123_subdomain, "a.b-c.9", &[]);
        check(
            dns1123_subdomain,
            "A_b",
            &[
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
            ],
        );
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert_eq!(dns1035_label("1a").len(), 1);
        check(wildcard_dns1123_subdomain, "*.a.b", &[]);
    }

    #[test]
    fn labels_are_checked() {
        check(qualified_name, "example.com/My.Name_1", &[]);
        check(qualified_name, "/a", &["prefix part must be non-empty"]);
        assert_eq!(qualified_name("a/b/c").len(), 1);
        assert_eq!(qualified_name("a/").len(), 2);
        check(label_value, "", &[]);
        assert_eq!(label_value("-a").len(), 1);
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
    }

    #[test]
    fn path_segments_and_ports_are_checked() {
        check(path_segment_name, "..", &["may not be '..'"]);
        check(path_segment_name, "a/b%", &["may not contain '/'", "may not contain '%'"]);
        check(port_name, "http-2", &[]);
        check(
            port_name,
            "-1",
            &["must contain at least one letter (a-z)", "must not begin or end with a hyphen"],
        );
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
    }

    #[test]
    fn a_dash_that_a_suffix_will_follow_is_masked() {
        assert_eq!(mask_trailing_dash("abc-"), "aba");
        assert_eq!(mask_trailing_dash("abc"), "abc");
        assert_eq!(mask_trailing_dash("-"), "-");
    }
}
