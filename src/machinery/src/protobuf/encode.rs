//! From trees to messages.
//!
//! Go writes fields by number and maps by key; it writes every field that is no pointer, be it zero, and none that is a
//! nil pointer, list or map.

use base64::Engine;

use super::writer::Writer;
use super::{is_message, special};
use crate::json::Tree;
use crate::schema::{BASE64, Field, Numbered, Shape, Type};

/// Writes the fields of a struct; `None` is one that is all zero.
pub(super) fn members(tree: Option<&Tree<'_>>, of: &Type, writer: &mut Writer) {
    level(tree, of, of.by_number(), writer);
}

fn level(tree: Option<&Tree<'_>>, of: &Type, order: &[Numbered], writer: &mut Writer) {
    for numbered in order {
        match numbered {
            Numbered::Embedded(number, inner) => {
                writer.message(*number, |writer| level(tree, of, inner, writer));
            }
            Numbered::Field(place) => {
                let one = &of.fields[*place];
                let value = tree.and_then(|tree| tree.get(one.name)).filter(|value| !value.is_null());
                field(value, one, writer);
            }
        }
    }
}

fn field(tree: Option<&Tree<'_>>, field: &Field, writer: &mut Writer) {
    match (&field.shape, tree) {
        (_, None) if field.pointer => {}
        (Shape::Bytes | Shape::List(..) | Shape::Map(..), None) => {}
        (Shape::List(element, go_name), Some(Tree::Array(items))) if !is_message(element, go_name) => {
            items.iter().for_each(|item| element_value(field.number, item, element, writer));
        }
        (Shape::Map(element, _), Some(Tree::Object(object))) => {
            for (key, item) in object.sorted() {
                writer.message(field.number, |writer| {
                    writer.string(1, key);
                    // Bytes may be nil.
                    if !(item.is_null() && matches!(**element, Shape::Bytes)) {
                        element_value(2, item, element, writer);
                    }
                });
            }
        }
        (shape, tree) => value(field.number, tree, shape, writer),
    }
}

/// In a list or map `null` stands for the zero value.
fn element_value(number: u32, tree: &Tree<'_>, shape: &Shape, writer: &mut Writer) {
    let tree = if tree.is_null() { None } else { Some(tree) };
    value(number, tree, shape, writer);
}

/// Writes one value; `None` is the zero value.
fn value(number: u32, tree: Option<&Tree<'_>>, shape: &Shape, writer: &mut Writer) {
    match shape {
        Shape::String(_) => writer.string(number, tree.and_then(Tree::as_str).unwrap_or_default()),
        Shape::Bool => writer.varint(number, u64::from(tree.and_then(Tree::as_bool).unwrap_or_default())),
        Shape::Int32 | Shape::Int64 => writer.int(number, tree.and_then(Tree::as_i64).unwrap_or_default()),
        Shape::Float => writer.double(number, tree.map_or(0.0, float)),
        Shape::Bytes => writer.bytes(number, &bytes(tree)),
        Shape::Struct(reference) => {
            writer.message(number, |writer| members(tree, reference.get(), writer));
        }
        // Only the named lists of strings come here, which are messages.
        Shape::List(element, _) => writer.message(number, |writer| {
            let items = tree.and_then(Tree::as_array).unwrap_or_default();
            items.iter().for_each(|item| element_value(1, item, element, writer));
        }),
        // Protobuf has no maps in lists or maps; a field that should be one and is not comes here.
        Shape::Map(..) => {}
        Shape::Quantity | Shape::IntOrString | Shape::Time | Shape::MicroTime | Shape::Any(_) => {
            writer.message(number, |writer| special::encode(tree, shape, writer));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "so does reading the number as one with a fraction")]
fn float(tree: &Tree<'_>) -> f64 {
    match tree {
        Tree::Int(number) => *number as f64,
        Tree::Uint(number) => *number as f64,
        Tree::Float(number) => *number,
        _ => 0.0,
    }
}

fn bytes(tree: Option<&Tree<'_>>) -> Vec<u8> {
    let text = tree.and_then(Tree::as_str).unwrap_or_default().replace(['\n', '\r'], "");
    BASE64.decode(text).unwrap_or_default()
}
