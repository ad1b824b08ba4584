//! A body in YAML as JSON text. A key that a mapping has twice stands there twice: what that means is for the reader of
//! the JSON to judge, as with a body that was JSON from the start.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::DuplicateKeyPolicy;

/// YAML as JSON, or why it is none, in one line.
pub(super) fn to_json(yaml: &[u8]) -> Result<Bytes, String> {
    let options =
        serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins, with_snippet: false };
    let json: Json = serde_saphyr::from_slice_with_options(yaml, options).map_err(|error| {
        let line = error.location().map(|place| format!("line {}: ", place.line())).unwrap_or_default();
        format!("yaml: {line}{}", without_place(&error.to_string()))
    })?;
    Ok(json.0.into())
}

/// The parser's sentence without the place that stands before or behind it.
fn without_place(error: &str) -> &str {
    let bare = error.strip_prefix("error: ").unwrap_or(error);
    let bare = bare.rsplit_once(" at line ").map_or(bare, |(sentence, _)| sentence);
    match bare.split_once(": ") {
        Some((place, sentence)) if place.starts_with("line ") => sentence,
        _ => bare,
    }
}

/// A value's JSON text.
struct Json(Vec<u8>);

impl Json {
    fn scalar<E: serde::de::Error>(value: impl serde::Serialize) -> Result<Json, E> {
        serde_json::to_vec(&value).map(Json).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// Takes whatever there is.
struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value that JSON has")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Json, E> {
        Json::scalar(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Json, E> {
        Json::scalar(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json, E> {
        Json::scalar(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        Json::scalar(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Json, E> {
        Json::scalar(value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Json, E> {
        Ok(Json(b"null".to_vec()))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Json, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        Json::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut out = vec![b'['];
        while let Some(Json(item)) = items.next_element()? {
            separate(&mut out);
            out.extend_from_slice(&item);
        }
        out.push(b']');
        Ok(Json(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut out = vec![b'{'];
        while let Some(key) = members.next_key::<String>()? {
            separate(&mut out);
            out.extend_from_slice(&Json::scalar::<A::Error>(key)?.0);
            out.push(b':');
            out.extend_from_slice(&members.next_value::<Json>()?.0);
        }
        out.push(b'}');
        Ok(Json(out))
    }
}

/// Separates a member from the one before it, if there is one.
fn separate(out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(yaml: &str, expected: Result<&str, &str>) {
        let json = to_json(yaml.as_bytes()).map(|json| String::from_utf8(json.to_vec()).unwrap());
        assert_eq!(json.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn yaml_becomes_the_json_that_it_says() {
        check(
            "a: 1\nb: [x, 1.5, true, null]\nc: {d: \"2\"}\n",
            Ok(r#"{"a":1,"b":["x",1.5,true,null],"c":{"d":"2"}}"#),
        );
        check("", Ok("null"));
        check("[]", Ok("[]"));
    }

    #[test]
    fn a_repeated_key_stays_to_be_judged() {
        check("a: 1\na: 2\n", Ok(r#"{"a":1,"a":2}"#));
    }

    #[test]
    fn an_error_says_its_line() {
        check("a: b\n  c: d\n", Err("yaml: line 2: mapping values are not allowed in this context"));
    }
}
