//! From bytes to a tree, noting duplicate keys on the way.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::object::FEW;
use super::{Object, Tree};

/// How deep a document may be nested. `serde_json` stops there, and so do recursive walks over trees.
pub const MAX_DEPTH: usize = 127;

/// A parsed document.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    /// The document. Of equal keys the last one counts.
    pub tree: Tree<'a>,
    /// The paths of keys that occur again, such as `spec.containers[0].name`, each once.
    pub duplicates: Vec<String>,
}

/// The bytes are not JSON. Reads as Go's decoder would say it, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(String);

/// Parses a document. Invalid UTF-8 is replaced by U+FFFD, as Go does.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, ParseError> {
    parse_with(bytes, Repeated::Replaces)
}

/// The same for a document that becomes a Go struct: of equal keys the second object is decoded into the first.
pub fn parse_struct(bytes: &[u8]) -> Result<Parsed<'_>, ParseError> {
    parse_with(bytes, Repeated::Merges)
}

/// What becomes of the value under a key that was there before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeated {
    Replaces,
    Merges,
}

fn parse_with(bytes: &[u8], repeated: Repeated) -> Result<Parsed<'_>, ParseError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_text(text, repeated),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let Parsed { tree, duplicates } = parse_text(&text, repeated)?;
            Ok(Parsed { tree: tree.into_owned(), duplicates })
        }
    }
}

fn parse_text(text: &str, repeated: Repeated) -> Result<Parsed<'_>, ParseError> {
    let mut duplicates = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let tree = Node { at: None, repeated, duplicates: &mut duplicates }
        .deserialize(&mut deserializer)
        .and_then(|tree| deserializer.end().map(|()| tree))
        .map_err(|error| in_go_words(&error, text))?;
    Ok(Parsed { tree, duplicates })
}

/// Where in the document the parser is; lives on the stack.
#[derive(Clone, Copy)]
struct At<'p> {
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Key(&'p str),
    Index(usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_some() => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Parses one value; as a visitor, whichever it turns out to be.
struct Node<'p, 'd> {
    at: Option<&'p At<'p>>,
    repeated: Repeated,
    duplicates: &'d mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Tree<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Tree<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree<'de>, E> {
        Ok(i64::try_from(number).map_or(Tree::Uint(number), Tree::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree<'de>, E> {
        Ok(Tree::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::String(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Tree<'de>, E> {
        Ok(Tree::String(Cow::Owned(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree<'de>, A::Error> {
        let mut items = Vec::new();
        loop {
            let at = At { parent: self.at, step: Step::Index(items.len()) };
            match seq.next_element_seed(Node {
                at: Some(&at),
                repeated: self.repeated,
                duplicates: self.duplicates,
            })? {
                Some(item) => items.push(item),
                None => return Ok(Tree::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        let mut object = Object::default();
        let (mut places, mut noted) = (Places::default(), HashSet::new());
        while let Some(key) = map.next_key_seed(Key)? {
            let at = At { parent: self.at, step: Step::Key(&key) };
            let value = map.next_value_seed(Node {
                at: Some(&at),
                repeated: self.repeated,
                duplicates: self.duplicates,
            })?;
            match places.of(&object, &key) {
                Some(place) => {
                    // Once: a path may be long, and repetitions many.
                    if noted.insert(place) {
                        note(self.duplicates, &at);
                    }
                    match self.repeated {
                        Repeated::Replaces => object.replace_at(place, value),
                        Repeated::Merges => object.merge_at(place, value),
                    }
                }
                None => {
                    places.add(&object, &key);
                    object.push(key, value);
                }
            }
        }
        Ok(Tree::Object(object))
    }
}

fn note(duplicates: &mut Vec<String>, at: &At<'_>) {
    let size: usize = duplicates.iter().map(String::len).sum();
    if duplicates.len() < MANY_DUPLICATES && size < LARGE {
        let path = at.to_string();
        if !duplicates.contains(&path) {
            duplicates.push(path);
        }
    }
}

/// Upstream reports no more than 100 strict errors either.
const MANY_DUPLICATES: usize = 100;
/// Nor are paths noted beyond so many bytes: each may be as long as the document.
pub(crate) const LARGE: usize = 256 * 1024;

/// Where keys are in an object: by looking along a small one, by hash in a large one.
#[derive(Default)]
struct Places(HashMap<String, usize>);

impl Places {
    fn of(&self, object: &Object<'_>, key: &str) -> Option<usize> {
        if self.0.is_empty() { object.keys().position(|name| name == key) } else { self.0.get(key).copied() }
    }

    fn add(&mut self, object: &Object<'_>, key: &str) {
        if object.len() == FEW {
            self.0 = object.keys().enumerate().map(|(place, name)| (name.to_owned(), place)).collect();
        }
        if object.len() >= FEW {
            self.0.insert(key.to_owned(), object.len());
        }
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Clients and tests match on the texts of Go's decoder.
fn in_go_words(error: &serde_json::Error, text: &str) -> ParseError {
    let ours = error.to_string();
    if error.is_eof() {
        return ParseError("unexpected end of JSON input".to_owned());
    }
    if ours.starts_with("recursion limit exceeded") {
        return ParseError("exceeded max depth".to_owned());
    }
    let found = offending(text, error.line(), error.column());
    let context = GO_CONTEXTS.iter().find(|(prefix, _)| ours.starts_with(prefix)).map(|(_, context)| context);
    if ours.starts_with("expected ident") {
        return ParseError(in_literal(text, error.line(), error.column()).unwrap_or(ours));
    }
    match (found, context) {
        (Some(c), Some(context)) => ParseError(format!("invalid character {} {context}", quoted_char(c))),
        _ => ParseError(ours),
    }
}

const GO_CONTEXTS: [(&str, &str); 9] = [
    ("expected value", "looking for beginning of value"),
    ("key must be a string", "looking for beginning of object key string"),
    ("expected `,` or `}`", "after object key:value pair"),
    ("expected `,` or `]`", "after array element"),
    ("expected `:`", "after object key"),
    ("trailing characters", "after top-level value"),
    ("trailing comma", "looking for beginning of value"),
    ("control character", "in string literal"),
    ("invalid escape", "in string escape code"),
];

/// The byte at which the parser stopped, as the character that Go takes it for.
fn offending(text: &str, line: usize, column: usize) -> Option<char> {
    let line = text.split('\n').nth(line.checked_sub(1)?)?;
    line.as_bytes().get(column.checked_sub(1)?).map(|&byte| char::from(byte))
}

/// What is wrong within `true`, `false` or `null`.
fn in_literal(text: &str, line: usize, column: usize) -> Option<String> {
    let line = text.split('\n').nth(line.checked_sub(1)?)?.as_bytes();
    let end = column.checked_sub(1)?.min(line.len().checked_sub(1)?);
    let start = line[..end].iter().rposition(|byte| !byte.is_ascii_lowercase()).map_or(0, |place| place + 1);
    let literal = ["true", "false", "null"].into_iter().find(|word| word.as_bytes()[0] == line[start])?;
    let given = line[start..].iter().map(|&byte| char::from(byte)).zip(literal.chars());
    let (found, expected) = given.into_iter().find(|(given, expected)| given != expected)?;
    Some(format!("invalid character {} in literal {literal} (expecting '{expected}')", quoted_char(found)))
}

fn quoted_char(c: char) -> String {
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => {
            let quoted = super::quoted(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
