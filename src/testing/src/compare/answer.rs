//! What a server answered, as far as it is compared: status, the headers that matter, the body as a tree.
//! Made by `client`, normalised by `normal`, written and read by `record`.

use std::collections::BTreeMap;

use anyhow::Context;
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// The headers that matter to clients, with what they usually are. Others (dates, lengths, flow control's uids) say
/// nothing about behaviour.
const HEADERS: [(&str, Option<&str>); 12] = [
    ("allow", None),
    ("audit-id", Some(PRESENT)),
    ("cache-control", Some("no-cache, private")),
    ("content-encoding", None),
    ("content-type", Some("application/json")),
    ("etag", None),
    ("last-modified", None),
    ("location", None),
    ("retry-after", None),
    ("vary", None),
    ("warning", None),
    ("www-authenticate", None),
];
/// Of these only the presence is compared.
const OPAQUE: [&str; 3] = ["audit-id", "etag", "last-modified"];
const PRESENT: &str = "<present>";

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers that matter, lower case; several values of one are joined by a line break.
    pub headers: BTreeMap<String, String>,
    /// The body: a tree for JSON and YAML, a list of trees for a stream of events, text for anything else.
    pub body: Value,
}

impl Answer {
    /// Reads an answer. A stream is cut at the last whole event.
    ///
    /// # Errors
    /// Where the body is not what its content type says.
    pub(super) fn read(
        status: u16,
        headers: &HeaderMap,
        body: &Bytes,
        is_stream: bool,
    ) -> anyhow::Result<Self> {
        let mut kept = BTreeMap::new();
        for (name, _) in HEADERS {
            let values: Vec<String> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
                .collect();
            if !values.is_empty() {
                let text = if OPAQUE.contains(&name) { PRESENT.to_owned() } else { values.join("\n") };
                kept.insert(name.to_owned(), text);
            }
        }
        let content_type = kept.get("content-type").map_or("", String::as_str);
        let body = tree(content_type, body, is_stream && status == 200)
            .with_context(|| format!("an answer {status} of type {content_type} cannot be read"))?;
        Ok(Self { status, headers: kept, body })
    }

    /// The headers that are not as usual; `None` where a usual one is absent.
    pub(super) fn unusual_headers(&self) -> BTreeMap<&str, Option<&str>> {
        let differs = |(name, usual): (&'static str, Option<&str>)| {
            let value = self.headers.get(name).map(String::as_str);
            (value != usual).then_some((name, value))
        };
        HEADERS.into_iter().filter_map(differs).collect()
    }

    /// The usual headers with these changes.
    pub(super) fn with_usual(changes: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
        let usual =
            HEADERS.into_iter().filter_map(|(name, usual)| Some((name.to_owned(), usual?.to_owned())));
        let mut headers: BTreeMap<String, String> = usual.collect();
        for (name, value) in changes {
            match value {
                Some(value) => headers.insert(name, value),
                None => headers.remove(&name),
            };
        }
        headers
    }
}

fn tree(content_type: &str, body: &Bytes, is_stream: bool) -> anyhow::Result<Value> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if media == "application/vnd.kubernetes.protobuf" {
        // Encodings are compared with upstream's own files elsewhere; here, that it is one.
        return Ok(Value::String(format!(
            "protobuf {}",
            if body.starts_with(b"k8s\0") { "envelope" } else { "frames" }
        )));
    }
    let text = std::str::from_utf8(body).context("it is not UTF-8")?;
    match media {
        _ if text.is_empty() => Ok(Value::Null),
        "application/json" if is_stream => {
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let events: Result<Vec<Value>, _> = whole.lines().map(serde_json::from_str).collect();
            Ok(Value::Array(events?))
        }
        "application/json" => Ok(serde_json::from_str(text)?),
        "application/yaml" => Ok(serde_saphyr::from_str(text)?),
        _ => Ok(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(content_type: &str, body: &str, is_stream: bool) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        headers.insert("audit-id", "4711".parse().unwrap());
        Answer::read(200, &headers, &Bytes::from(body.to_owned()), is_stream).unwrap()
    }

    #[test]
    fn bodies_are_read_by_their_type() {
        assert_eq!(read("application/json", r#"{"a":1}"#, false).body, json!({"a": 1}));
        assert_eq!(read("application/yaml", "a: 1\n", false).body, json!({"a": 1}));
        assert_eq!(read("text/plain", "ok", false).body, json!("ok"));
        assert_eq!(
            read("application/json", "{\"a\":1}\n{\"b\":2}\n{\"cut", true).body,
            json!([{"a": 1}, {"b": 2}])
        );
    }

    #[test]
    fn usual_headers_need_not_be_written_down() {
        let answer = read("application/yaml", "a: 1\n", false);
        let unusual = answer.unusual_headers();
        assert_eq!(
            unusual,
            BTreeMap::from([("cache-control", None), ("content-type", Some("application/yaml"))])
        );
        let changes =
            unusual.into_iter().map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect();
        assert_eq!(Answer::with_usual(changes), answer.headers);
    }
}
