//! From messages to trees.
//!
//! A message is split into its fields once, and the type's fields then take theirs in declared order. What comes in
//! several parts is merged before it is read, so that order and repetition on the wire need no special care.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::wire::{Message, Reader, Record};
use super::{MAX_DEPTH, Malformed, is_message, special};
use crate::gvk::GroupVersionKind;
use crate::json::{Object, Tree};
use crate::schema::{Embedded, Field, Shape, Type, is_omitted};

/// An object, which says its own kind first where its type has fields for that.
pub(super) fn object<'a>(
    bytes: &'a [u8],
    of: &Type,
    kind: &GroupVersionKind,
    depth: usize,
) -> Result<Tree<'a>, Malformed> {
    let mut object = Object::with_capacity(of.fields.len().min(8));
    if of.field("kind").is_some() {
        object.insert("kind", Tree::from(kind.kind.clone()));
        object.insert("apiVersion", Tree::from(kind.api_version()));
    }
    members(Message::parse(bytes)?, of, &mut object, deeper(depth)?)?;
    Ok(Tree::Object(object))
}

/// A struct from the parts of its message.
pub(super) fn structure<'a>(
    parts: &[Record<'a>],
    of: &Type,
    at: &'static str,
    depth: usize,
) -> Result<Tree<'a>, Malformed> {
    let message = Message::merged(parts.iter().map(|part| part.bytes(at)))?;
    let mut object = Object::default();
    members(message, of, &mut object, deeper(depth)?)?;
    Ok(Tree::Object(object))
}

/// One more level of nesting, if there may be.
pub(super) fn deeper(depth: usize) -> Result<usize, Malformed> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(Malformed::Depth) }
}

fn members<'a>(
    message: Message<'a>,
    of: &Type,
    object: &mut Object<'a>,
    depth: usize,
) -> Result<(), Malformed> {
    let mut open = Open { whole: message, embedded: Vec::new() };
    // Fields without a number are not in protobuf.
    let fields = of.fields.iter().filter(|field| field.number != 0);
    for field in fields.filter(|field| field.within.iter().all(|embedded| embedded.number != 0)) {
        let records = open.message_with(&field.within)?.all(field.number);
        if records.is_empty() {
            continue;
        }
        let tree = value(records, &field.shape, field.name, depth)?;
        if !is_left_out(&tree, field) {
            object.insert(field.name, tree);
        }
    }
    Ok(())
}

/// Whether JSON from Go would not have the field: protobuf has zeros, too. Pointers to nothing are nothing.
fn is_left_out(tree: &Tree<'_>, field: &Field) -> bool {
    tree.is_null() || is_omitted(Some(tree), field)
}

/// A message and those of the structs embedded in it that the current field is in.
struct Open<'a> {
    whole: Message<'a>,
    embedded: Vec<(Embedded, Message<'a>)>,
}

impl<'a> Open<'a> {
    /// The message that has the fields within `path`. Fields of the same path follow each other, so each message is
    /// split once.
    fn message_with(&mut self, path: &[Embedded]) -> Result<&Message<'a>, Malformed> {
        let same = self.embedded.iter().zip(path).take_while(|((open, _), wanted)| open == *wanted).count();
        self.embedded.truncate(same);
        for wanted in &path[same..] {
            let inner = self.innermost().message(wanted.number, wanted.name)?;
            self.embedded.push((*wanted, inner));
        }
        Ok(self.innermost())
    }

    fn innermost(&self) -> &Message<'a> {
        self.embedded.last().map_or(&self.whole, |(_, message)| message)
    }
}

/// The value of a field named `at` from what came for it. Only for the value of a map's entry this may be nothing.
fn value<'a>(
    records: &[Record<'a>],
    shape: &Shape,
    at: &'static str,
    depth: usize,
) -> Result<Tree<'a>, Malformed> {
    let Some(last) = records.last() else { return Ok(missing(shape)) };
    match shape {
        Shape::String(_) => last.string(at).map(Tree::from),
        Shape::Bool | Shape::Int32 | Shape::Int64 => last.varint(at).map(|number| whole(number, shape)),
        Shape::Float => float(last.double(at)?),
        Shape::Bytes => last.bytes(at).map(|bytes| Tree::from(STANDARD.encode(bytes))),
        Shape::Struct(reference) => structure(records, reference.get(), at, depth),
        Shape::List(element, go_name) if is_message(element, go_name) => {
            let message = Message::merged(records.iter().map(|part| part.bytes(at)))?;
            list(message.all(1), element, at, deeper(depth)?)
        }
        Shape::List(element, _) => list(records, element, at, deeper(depth)?),
        Shape::Map(element, _) => map(records, element, at, deeper(depth)?),
        Shape::Quantity | Shape::IntOrString | Shape::Time | Shape::MicroTime | Shape::Any(_) => {
            let message = Message::merged(records.iter().map(|part| part.bytes(at)))?;
            special::decode(&message, shape, depth)
        }
    }
}

/// The value of a map's entry that has none.
fn missing(shape: &Shape) -> Tree<'static> {
    match shape {
        Shape::String(_) | Shape::Bytes => Tree::from(""),
        Shape::Bool => Tree::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => Tree::Int(0),
        Shape::Quantity => Tree::from("0"),
        Shape::Time | Shape::MicroTime | Shape::Any(_) => Tree::Null,
        Shape::Struct(_) | Shape::Map(..) => Tree::empty_object(),
        Shape::List(..) => Tree::Array(Vec::new()),
    }
}

/// As wide as the field is: what is above is cut off.
fn whole(number: u64, shape: &Shape) -> Tree<'static> {
    match shape {
        Shape::Bool => Tree::Bool(number != 0),
        Shape::Int32 => Tree::Int(i64::from(number as i32)),
        _ => Tree::Int(number.cast_signed()),
    }
}

fn float(number: f64) -> Result<Tree<'static>, Malformed> {
    if number.is_finite() {
        Ok(Tree::Float(number))
    } else {
        Err(Malformed::Value(format!("json: unsupported value: {number}")))
    }
}

fn list<'a>(
    records: &[Record<'a>],
    element: &Shape,
    at: &'static str,
    depth: usize,
) -> Result<Tree<'a>, Malformed> {
    let mut items = Vec::with_capacity(records.len());
    for record in records {
        match (element, record.packed()) {
            (Shape::Bool | Shape::Int32 | Shape::Int64 | Shape::Float, Some(packed)) => {
                unpack(Reader(packed), element, &mut items)?;
            }
            _ => items.push(value(std::slice::from_ref(record), element, at, depth)?),
        }
    }
    Ok(Tree::Array(items))
}

fn unpack(mut packed: Reader<'_>, element: &Shape, items: &mut Vec<Tree<'_>>) -> Result<(), Malformed> {
    while !packed.0.is_empty() {
        items.push(match element {
            Shape::Float => float(packed.double()?)?,
            _ => whole(packed.varint()?, element),
        });
    }
    Ok(())
}

/// Entries are messages of a key (1) and a value (2); of those with the same key the last one counts.
fn map<'a>(
    records: &[Record<'a>],
    element: &Shape,
    at: &'static str,
    depth: usize,
) -> Result<Tree<'a>, Malformed> {
    let mut entries = BTreeMap::new();
    for record in records {
        let entry = Message::parse(record.bytes(at)?)?;
        let key = entry.last_string(1, at)?.unwrap_or_default();
        entries.insert(key, value(entry.all(2), element, at, depth)?);
    }
    Ok(Tree::Object(entries.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect()))
}
