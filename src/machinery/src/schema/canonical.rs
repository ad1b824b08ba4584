//! The canonical encoding: the bytes that Go would write for the typed object.
//!
//! Fields come in declared order; empty ones are left out where Go leaves them out and written where Go writes them;
//! maps are sorted by key; quantities and times take their canonical form; unknown fields are dropped. Input is a tree
//! whose types have been checked; what has another type than its field is written as it is.

use super::{Field, Shape, Type, facts, time};
use crate::json::{Tree, write_string};
use crate::quantity::Quantity;

const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// The JSON that upstream would write for the typed object.
pub fn canonical(tree: &Tree<'_>, of: &Type) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.members(Some(tree), of, Level::Inside);
    encoder.out
}

/// What upstream's storage gives back: the same, with `null` for empty lists and maps that are written although they are
/// empty. Objects are stored as protobuf there, which does not tell an empty list from none.
pub fn stored(tree: &Tree<'_>, of: &Type) -> Vec<u8> {
    let mut encoder = Encoder { is_stored: true, ..Encoder::default() };
    encoder.members(Some(tree), of, Level::Inside);
    encoder.out
}

/// What [`stored`] gives cut where the value of `metadata.resourceVersion` goes, whatever value the tree has: the head ends with
/// `"resourceVersion":"`, the tail begins with `"`. For a type without that field the tail is empty.
pub fn canonical_with_hole(tree: &Tree<'_>, of: &Type) -> (Vec<u8>, Vec<u8>) {
    let mut encoder = Encoder { is_stored: true, ..Encoder::default() };
    encoder.members(Some(tree), of, Level::Root);
    let tail = encoder.hole.map_or_else(Vec::new, |hole| encoder.out.split_off(hole));
    (encoder.out, tail)
}

#[derive(Default)]
struct Encoder {
    out: Vec<u8>,
    hole: Option<usize>,
    /// Whether empty lists and maps are none.
    is_stored: bool,
}

/// How far the hole is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The members are the object's; `metadata` holds the hole.
    Root,
    /// The members are the metadata's; `resourceVersion` is the hole.
    Metadata,
    /// There is no hole in here.
    Inside,
}

impl Level {
    fn below(self, field: &str) -> Self {
        if self == Self::Root && field == "metadata" { Self::Metadata } else { Self::Inside }
    }
}

impl Encoder {
    /// Writes a struct; `None` is one that is all zero.
    fn members(&mut self, tree: Option<&Tree<'_>>, of: &Type, level: Level) {
        let object = tree.and_then(Tree::as_object);
        self.out.push(b'{');
        let start = self.out.len();
        for field in &of.fields {
            if level == Level::Metadata && field.name == "resourceVersion" {
                self.key(field.name, start);
                self.out.push(b'"');
                self.hole = Some(self.out.len());
                self.out.push(b'"');
                continue;
            }
            let value = object.and_then(|object| object.get(field.name)).filter(|value| !value.is_null());
            let value = value.filter(|value| !(self.is_stored && is_empty_collection(value, &field.shape)));
            let below = level.below(field.name);
            // The hole must be there even in metadata that is otherwise empty.
            if below == Level::Inside && is_omitted(value, field) {
                continue;
            }
            self.key(field.name, start);
            match value {
                None if field.pointer => self.out.extend_from_slice(b"null"),
                _ => self.value(value, &field.shape, below),
            }
        }
        self.out.push(b'}');
    }

    fn key(&mut self, name: &str, start: usize) {
        if self.out.len() > start {
            self.out.push(b',');
        }
        // Field names hold nothing to escape.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn value(&mut self, value: Option<&Tree<'_>>, shape: &Shape, level: Level) {
        let Some(tree) = value else { return self.zero(shape, level) };
        match (shape, tree) {
            (Shape::Struct(reference), Tree::Object(_)) => self.members(value, reference.get(), level),
            (Shape::List(element, _), Tree::Array(items)) => self.list(items, element),
            (Shape::Map(element, _), Tree::Object(object)) => self.map(&object.sorted(), element),
            (Shape::Any(go_type), Tree::Object(_)) if holds_schema(go_type) => {
                self.members(value, json_schema(), Level::Inside);
            }
            (Shape::Any(go_type), Tree::Array(items)) if holds_schema(go_type) => self.list(items, shape),
            (Shape::Quantity, _) => self.quantity(tree),
            (Shape::Time, Tree::String(text)) => self.time(text, 20, time::seconds),
            (Shape::MicroTime, Tree::String(text)) => self.time(text, 27, time::microseconds),
            (Shape::Bytes, Tree::String(text)) if text.contains(['\n', '\r']) => {
                write_string(&text.replace(['\n', '\r'], ""), &mut self.out);
            }
            _ => tree.write(&mut self.out),
        }
    }

    /// Writes the zero value of a shape.
    fn zero(&mut self, shape: &Shape, level: Level) {
        let text: &[u8] = match shape {
            Shape::Struct(reference) => return self.members(None, reference.get(), level),
            Shape::String(_) => b"\"\"",
            Shape::Bool => b"false",
            Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => b"0",
            Shape::Quantity => b"\"0\"",
            Shape::Bytes
            | Shape::Time
            | Shape::MicroTime
            | Shape::Any(_)
            | Shape::List(..)
            | Shape::Map(..) => b"null",
        };
        self.out.extend_from_slice(text);
    }

    fn list(&mut self, items: &[Tree<'_>], element: &Shape) {
        self.out.push(b'[');
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            self.element(item, element);
        }
        self.out.push(b']');
    }

    fn map(&mut self, members: &[(&str, &Tree<'_>)], element: &Shape) {
        self.out.push(b'{');
        for (place, (key, value)) in members.iter().enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            write_string(key, &mut self.out);
            self.out.push(b':');
            self.element(value, element);
        }
        self.out.push(b'}');
    }

    /// In a list or map `null` stands for the zero value.
    fn element(&mut self, tree: &Tree<'_>, shape: &Shape) {
        let value = if tree.is_null() { None } else { Some(tree) };
        self.value(value, shape, Level::Inside);
    }

    fn quantity(&mut self, tree: &Tree<'_>) {
        let text = tree.as_str().map_or_else(|| tree.to_string(), str::to_owned);
        match Quantity::parse(text.trim()) {
            Ok(quantity) => write_string(&quantity.to_string(), &mut self.out),
            Err(_) => tree.write(&mut self.out),
        }
    }

    /// Writes a time; one that has the canonical length and ends in `Z` is canonical.
    fn time(&mut self, text: &str, canonical_len: usize, format: fn(jiff::Timestamp) -> String) {
        if text == ZERO_TIME {
            self.out.extend_from_slice(b"null");
        } else if text.len() == canonical_len && text.ends_with('Z') {
            write_string(text, &mut self.out);
        } else {
            write_string(&time::parse(text, false).map_or_else(|_| text.to_owned(), format), &mut self.out);
        }
    }
}

/// Whether a value of this Go type is a schema of a custom resource (or several), unless it is a scalar.
fn holds_schema(go_type: &str) -> bool {
    go_type.starts_with("v1.JSONSchemaPropsOr")
}

/// The type of schemas of custom resources.
pub(crate) fn json_schema() -> &'static Type {
    facts::named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
        .expect("the facts have the schema of custom resources")
}

/// Whether Go's encoder leaves the field out. `value` is never `null`.
pub(crate) fn is_omitted(value: Option<&Tree<'_>>, field: &Field) -> bool {
    let Some(tree) = value else {
        let is_empty = if field.pointer { true } else { can_be_empty(&field.shape) };
        return (field.omit_empty && is_empty) || field.omit_zero;
    };
    if field.pointer {
        return false;
    }
    (field.omit_empty && is_empty(tree, &field.shape)) || (field.omit_zero && is_zero(tree, &field.shape))
}

fn is_empty_collection(tree: &Tree<'_>, shape: &Shape) -> bool {
    match (shape, tree) {
        (Shape::List(..), Tree::Array(items)) => items.is_empty(),
        (Shape::Map(..), Tree::Object(members)) => members.is_empty(),
        _ => false,
    }
}

/// What `omitempty` looks at. Structs are never empty to it, nor is what encodes itself.
fn can_be_empty(shape: &Shape) -> bool {
    match shape {
        Shape::Any(go_type) => *go_type == "interface {}",
        Shape::Struct(_) | Shape::Quantity | Shape::IntOrString | Shape::Time | Shape::MicroTime => false,
        _ => true,
    }
}

fn is_empty(tree: &Tree<'_>, shape: &Shape) -> bool {
    can_be_empty(shape)
        && match tree {
            Tree::Null => true,
            Tree::Bool(value) => !value,
            Tree::Int(number) => *number == 0,
            Tree::Uint(_) => false,
            Tree::Float(number) => *number == 0.0,
            Tree::String(text) => text.is_empty(),
            Tree::Array(items) => items.is_empty(),
            Tree::Object(object) => object.is_empty(),
        }
}

/// What `omitzero` looks at: empty lists and maps are something, a struct of zeros is nothing.
fn is_zero(tree: &Tree<'_>, shape: &Shape) -> bool {
    match (shape, tree) {
        (_, Tree::Null) => true,
        (Shape::Struct(reference), Tree::Object(object)) => reference.get().fields.iter().all(|field| {
            let value = object.get(field.name).filter(|value| !value.is_null());
            value.is_none_or(|value| !field.pointer && is_zero(value, &field.shape))
        }),
        (Shape::Time | Shape::MicroTime, Tree::String(text)) => text == ZERO_TIME,
        (Shape::Quantity, Tree::String(text)) => {
            Quantity::parse(text.trim()).is_ok_and(|quantity| quantity.is_zero())
        }
        (Shape::Quantity | Shape::IntOrString, Tree::Int(number)) => *number == 0,
        (Shape::List(..) | Shape::Map(..) | Shape::Any(_), _) => false,
        _ => is_empty(tree, shape),
    }
}
