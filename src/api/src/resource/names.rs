//! Names that the kinds of the group share: pools, qualified names of attributes and capacities, ids of shares.

use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks;

/// Bytes that the name of an attribute or capacity may have, its domain included.
pub(super) const MAX_QUALIFIED: usize = 63 + 1 + MAX_ID;
const MAX_ID: usize = 32;
const MAX_POOL: usize = 253;

/// One or more subdomains with slashes between them.
pub(super) fn pool(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if name.len() > MAX_POOL {
        errors.push(Error::too_long(path, MAX_POOL));
    }
    errors.extend(name.split('/').flat_map(|part| checks::dns_subdomain(part, path)));
    errors
}

/// `[domain/]identifier`. A name with more than one slash is taken, as upstream takes it.
pub(super) fn qualified(name: &str, path: &Path) -> ErrorList {
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => c_identifier(id, path),
        [domain, id] => {
            let mut errors = match domain {
                "" => vec![Error::invalid(path, "", "the domain must not be empty")],
                domain => checks::driver_name(domain, path),
            };
            errors.extend(match id {
                "" => vec![Error::invalid(path, "", "the name must not be empty")],
                id => c_identifier(id, path),
            });
            errors
        }
        _ => ErrorList::new(),
    }
}

/// As [`qualified`], with a domain.
pub(super) fn fully_qualified(name: &str, path: &Path) -> ErrorList {
    let mut errors = qualified(name, path);
    if !name.contains('/') {
        let detail = "a fully qualified name must be a domain and a name separated by a slash";
        errors.push(Error::invalid(path, name, detail).named());
    }
    errors
}

fn c_identifier(id: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if id.len() > MAX_ID {
        errors.push(Error::too_long(path, MAX_ID));
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = id.bytes().next().is_some_and(|byte| is_word(byte) && !byte.is_ascii_digit());
    if !(begins && id.bytes().all(is_word)) {
        let rule = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
        let detail = names::regex(rule, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"]);
        errors.push(Error::invalid(path, id, detail));
    }
    errors
}

/// An id in the form that RFC 4122 prefers.
pub(super) fn uid(uid: &str, path: &Path) -> ErrorList {
    let detail = match unreadable(uid) {
        Some(why) => format!("error validating uid: {why}"),
        None if uid.len() == 36 && uid == uid.to_lowercase() => return ErrorList::new(),
        None => "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters".to_owned(),
    };
    vec![Error::invalid(path, uid, detail)]
}

/// Why a text is no id in any of the forms that upstream's library reads.
fn unreadable(uid: &str) -> Option<String> {
    let malformed = || Some("invalid UUID format".to_owned());
    let bytes = uid.as_bytes();
    let inner = match bytes.len() {
        36 => bytes,
        45 if bytes[..9].eq_ignore_ascii_case(b"urn:uuid:") => &bytes[9..],
        45 => {
            let prefix = String::from_utf8_lossy(&bytes[..9]);
            return Some(format!("invalid urn prefix: {}", machinery::json::quoted(&prefix)));
        }
        38 if bytes[0] == b'{' && bytes[37] == b'}' => &bytes[1..37],
        38 => return Some("invalid bracketed UUID format".to_owned()),
        32 if bytes.iter().all(u8::is_ascii_hexdigit) => return None,
        32 => return malformed(),
        length => return Some(format!("invalid UUID length: {length}")),
    };
    let fits = |(place, byte): (usize, &u8)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if inner.iter().enumerate().all(fits) { None } else { malformed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errors: ErrorList, expected: &[&str]) {
        assert_eq!(errors.iter().map(|error| error.detail.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn ids_are_written_in_one_form() {
        let path = Path::new("a");
        check(uid("3b1c2b3e-0000-4000-8000-000000000000", &path), &[]);
        for other in ["3B1C2B3E-0000-4000-8000-000000000000", "{3b1c2b3e-0000-4000-8000-000000000000}"] {
            assert!(uid(other, &path)[0].detail.starts_with("uid must be"), "{other}");
        }
        check(uid("x", &path), &["error validating uid: invalid UUID length: 1"]);
    }

    #[test]
    fn attributes_have_identifiers_for_names() {
        let path = Path::new("a");
        for right in ["model", "gpu.example.com/model_2", "a/b/c"] {
            check(qualified(right, &path), &[]);
        }
        check(qualified("/x", &path), &["the domain must not be empty"]);
        check(qualified("a/", &path), &["the name must not be empty"]);
        check(
            fully_qualified("model", &path),
            &["a fully qualified name must be a domain and a name separated by a slash"],
        );
        assert_eq!(qualified("2x", &path).len(), 1);
    }
}
