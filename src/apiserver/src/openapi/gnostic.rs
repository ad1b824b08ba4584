//! An OpenAPI v2 document in gnostic's protobuf form (`gnostic-models/openapiv2/OpenAPIv2.proto`).
//!
//! Input is the document as JSON; [`messages`] says what becomes of it. Free-form values (extensions) are YAML in a string.

mod messages;

use serde_json::{Map, Value};

use messages::{DOCUMENT, IN_BODY, IN_PATH, IN_QUERY};

/// How a JSON value is written.
enum Form {
    /// A string; an empty one is left out.
    Text,
    /// A boolean; `false` is left out.
    Flag,
    /// Any value, as YAML.
    Any,
    /// A message.
    One(&'static Message),
    /// A list, element by element.
    Each(&'static Form),
    /// The value in this field of a message of its own.
    Within(u32, &'static Form),
    /// A parameter: one message for bodies, and others by where it stands.
    Parameter,
}

/// What becomes of a JSON object's fields.
struct Message {
    /// By name, in the order of their numbers.
    fields: &'static [(&'static str, u32, Form)],
    /// All that are not named above, each as a message of name and value.
    others: Option<(u32, Form)>,
    /// Vendors' extensions (`x-…`).
    extensions: Option<u32>,
}

/// Writes a document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    DOCUMENT.write(document, &mut out);
    out
}

impl Message {
    fn write(&self, value: &Value, out: &mut Vec<u8>) {
        let object = value.as_object().expect("a message is made of an object");
        for (name, number, form) in self.fields {
            if let Some(value) = object.get(*name) {
                form.write(*number, value, out);
            }
        }
        for (name, value) in self.unnamed(object) {
            match (self.extensions.filter(|_| name.starts_with("x-")), &self.others) {
                (Some(number), _) => named(number, name, &Form::Any, value, out),
                (None, Some((number, form))) => named(*number, name, form, value, out),
                (None, None) => unreachable!("{name} is in no table: our documents have grown"),
            }
        }
    }

    fn unnamed<'a>(&self, object: &'a Map<String, Value>) -> impl Iterator<Item = (&'a String, &'a Value)> {
        object.iter().filter(|(name, _)| self.fields.iter().all(|(own, ..)| own != name))
    }
}

impl Form {
    fn write(&self, number: u32, value: &Value, out: &mut Vec<u8>) {
        match self {
            Form::Text => match value.as_str() {
                Some("") => {}
                text => bytes(number, text.expect("the table says text").as_bytes(), out),
            },
            Form::Flag => {
                if value.as_bool().expect("the table says a flag") {
                    varint(u64::from(number) << 3, out);
                    out.push(1);
                }
            }
            Form::Any => {
                let yaml = serde_saphyr::to_string(value).expect("every JSON value has a YAML form");
                message(number, out, |out| bytes(2, yaml.as_bytes(), out));
            }
            Form::One(of) => message(number, out, |out| of.write(value, out)),
            Form::Each(form) => {
                let elements = value.as_array().expect("the table says a list");
                elements.iter().for_each(|element| form.write(number, element, out));
            }
            Form::Within(inner, form) => message(number, out, |out| form.write(*inner, value, out)),
            Form::Parameter => parameter(value).write(number, value, out),
        }
    }
}

fn parameter(value: &Value) -> &'static Form {
    match value["in"].as_str() {
        Some("body") => &IN_BODY,
        Some("path") => &IN_PATH,
        _ => &IN_QUERY,
    }
}

fn named(number: u32, name: &str, form: &Form, value: &Value, out: &mut Vec<u8>) {
    message(number, out, |out| {
        bytes(1, name.as_bytes(), out);
        form.write(2, value, out);
    });
}

fn message(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    bytes(number, &inner, out);
}

fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
