//! Whether values have the types that their fields need, told in the words of Go's decoder.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{Field, Shape, Type, time};
use crate::json::Tree;
use crate::quantity::Quantity;

/// A value that does not decode, in the words of upstream's decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeError(String);

/// Whether every known field has a value that decodes: the first one that does not, in document order.
pub fn check_types(tree: &Tree<'_>, of: &Type) -> Result<(), TypeError> {
    match tree {
        Tree::Null => Ok(()),
        Tree::Object(_) => members(tree, of, None),
        _ => Err(TypeError(format!(
            "json: cannot unmarshal {} into Go value of type {}",
            tree.go_kind(),
            of.go_name()
        ))),
    }
}

/// The fields on the way down; lives on the stack.
#[derive(Clone, Copy)]
struct At<'p> {
    parent: Option<&'p At<'p>>,
    of: &'p Type,
    field: &'p Field,
}

impl At<'_> {
    /// Go names the fields on the way and what they are embedded in, but no indexes and no keys.
    fn path(&self) -> String {
        let mut path = self.parent.map_or_else(String::new, |parent| parent.path() + ".");
        for embedded in &self.field.within {
            path.push_str(embedded.name);
            path.push('.');
        }
        path + self.field.name
    }

    fn cannot(&self, value: &str, go_type: &str) -> TypeError {
        let (of, path) = (self.of.short_name(), self.path());
        TypeError(format!(
            "json: cannot unmarshal {value} into Go struct field {of}.{path} of type {go_type}"
        ))
    }
}

fn members(tree: &Tree<'_>, of: &Type, parent: Option<&At<'_>>) -> Result<(), TypeError> {
    let Tree::Object(object) = tree else { return Ok(()) };
    for (key, value) in object.iter() {
        if let Some(field) = of.field(key) {
            check(value, &field.shape, &At { parent, of, field })?;
        }
    }
    Ok(())
}

fn check(tree: &Tree<'_>, shape: &Shape, at: &At<'_>) -> Result<(), TypeError> {
    match (shape, tree) {
        (_, Tree::Null)
        | (Shape::Any(_), _)
        | (Shape::String(_) | Shape::IntOrString, Tree::String(_))
        | (Shape::Bool, Tree::Bool(_))
        | (Shape::Int64, Tree::Int(_))
        | (Shape::Float, Tree::Int(_) | Tree::Uint(_) | Tree::Float(_)) => Ok(()),
        (Shape::Int32 | Shape::IntOrString, Tree::Int(number)) if i32::try_from(*number).is_ok() => Ok(()),
        (Shape::Int32 | Shape::Int64 | Shape::IntOrString, Tree::Int(_) | Tree::Uint(_) | Tree::Float(_)) => {
            let go_type = if matches!(shape, Shape::Int64) { "int64" } else { "int32" };
            Err(at.cannot(&format!("number {tree}"), go_type))
        }
        (Shape::IntOrString, _) => Err(at.cannot(tree.go_kind(), "int32")),
        (Shape::Quantity, _) => check_quantity(tree),
        (Shape::Time, Tree::String(text)) => time::parse(text, false).map(drop).map_err(TypeError),
        (Shape::MicroTime, Tree::String(text)) => time::parse(text, true).map(drop).map_err(TypeError),
        (Shape::Time | Shape::MicroTime, _) => Err(at.cannot(tree.go_kind(), "string")),
        (Shape::Bytes, Tree::String(text)) => check_base64(text),
        (Shape::Struct(reference), Tree::Object(_)) => members(tree, reference.get(), Some(at)),
        (Shape::List(element, _), Tree::Array(items)) => {
            items.iter().try_for_each(|item| check(item, element, at))
        }
        (Shape::Map(element, _), Tree::Object(object)) => {
            object.values().try_for_each(|value| check(value, element, at))
        }
        _ => Err(at.cannot(tree.go_kind(), &shape.go_type())),
    }
}

fn check_quantity(tree: &Tree<'_>) -> Result<(), TypeError> {
    let text = tree.as_str().map_or_else(|| tree.to_string(), str::to_owned);
    Quantity::parse(text.trim()).map(drop).map_err(|error| TypeError(error.to_string()))
}

/// Like Go, lets the bits that pad the last byte be anything.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn check_base64(text: &str) -> Result<(), TypeError> {
    let text = text.replace(['\n', '\r'], "");
    match BASE64.decode(&text) {
        Ok(_) => Ok(()),
        Err(
            base64::DecodeError::InvalidByte(place, _) | base64::DecodeError::InvalidLastSymbol(place, _),
        ) => Err(corrupt(place)),
        Err(_) => Err(corrupt(text.len() / 4 * 4)),
    }
}

fn corrupt(place: usize) -> TypeError {
    TypeError(format!("illegal base64 data at input byte {place}"))
}
