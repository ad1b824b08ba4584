//! Warnings to the client as headers (RFC 7234 `warn-code` 299), of which there may not be too much
//! (upstream `endpoints/filters/warning.go`).

use http::HeaderMap;
use http::header::{HeaderValue, WARNING};

/// How many characters there may be together before each is cut.
const ALL: usize = 4 * 1024;
/// How many characters of each are kept then.
const EACH: usize = 256;

/// Adds the headers.
pub(super) fn add(warnings: Vec<String>, headers: &mut HeaderMap) {
    let length: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    let each = if length > ALL { EACH } else { ALL };
    let mut written = 0;
    for warning in warnings {
        if written >= ALL {
            return;
        }
        let text: String = warning.chars().filter(|c| !c.is_control()).take(each).collect();
        written += text.chars().count();
        let quoted = format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        match HeaderValue::from_bytes(quoted.as_bytes()) {
            Ok(value) => {
                headers.append(WARNING, value);
            }
            Err(error) => tracing::debug!(%error, text, "a warning cannot be sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_warnings_are_cut_and_many_are_left_out() {
        let lengths = |warnings: Vec<String>| {
            let mut headers = HeaderMap::new();
            add(warnings, &mut headers);
            headers.get_all(WARNING).iter().map(HeaderValue::len).collect::<Vec<_>>()
        };
        let frame = "299 - \"\"".len();
        assert_eq!(lengths(vec!["a \"b\"".to_owned()]), [frame + 7]);
        assert_eq!(lengths(vec!["x".repeat(1000); 4]), [frame + 1000; 4]);
        assert_eq!(lengths(vec!["x".repeat(5000), "y".to_owned()]), [frame + 256, frame + 1]);
        assert_eq!(lengths(vec!["x".repeat(500); 30]), [frame + 256; 16]);
    }
}
