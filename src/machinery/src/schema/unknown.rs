//! What strict decoding finds besides errors: fields that the type does not have, and fields that come twice.

use std::collections::HashSet;
use std::fmt::Write;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Shape, Type};
use crate::json::{LARGE, Tree, quoted};

/// Upstream collects no more.
const MOST: usize = 100;

/// The paths of fields that the type does not have, such as `spec.containers[0].foo`, in document order, at most 100.
pub fn unknown_fields(tree: &Tree<'_>, of: &Type) -> Vec<String> {
    let mut finder = Finder::default();
    finder.members(tree, of);
    finder.found
}

/// What strict decoding reports of a document that is JSON: `unknown field "spec.foo"`, `duplicate field "spec.bar"`, in
/// document order, each once, at most 100.
pub fn strict_errors(document: &[u8], of: &Type) -> Vec<String> {
    let mut finder = Finder { tells: true, ..Finder::default() };
    let text = String::from_utf8_lossy(document);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    // What cannot be read ends the search; whoever parses the document says so.
    Node { of: Some(Whole::Type(of)), finder: &mut finder }.deserialize(&mut deserializer).ok();
    finder.found
}

#[derive(Default)]
struct Finder {
    path: String,
    found: Vec<String>,
    /// Whether whole sentences are collected, or paths alone.
    tells: bool,
    /// Bytes of what was found.
    size: usize,
}

impl Finder {
    fn members(&mut self, tree: &Tree<'_>, of: &Type) {
        let Tree::Object(object) = tree else { return };
        for (key, value) in object.iter() {
            let len = self.enter(key);
            match of.field(key) {
                Some(field) => self.value(value, &field.shape),
                None => self.note("unknown"),
            }
            self.path.truncate(len);
        }
    }

    fn value(&mut self, tree: &Tree<'_>, shape: &Shape) {
        match (shape, tree) {
            (Shape::Struct(reference), _) => self.members(tree, reference.get()),
            (Shape::List(element, _), Tree::Array(items)) if holds_structs(element) => {
                for (place, item) in items.iter().enumerate() {
                    let len = self.enter_index(place);
                    self.value(item, element);
                    self.path.truncate(len);
                }
            }
            (Shape::Map(element, _), Tree::Object(object)) if holds_structs(element) => {
                for (key, value) in object.iter() {
                    let len = self.enter(key);
                    self.value(value, element);
                    self.path.truncate(len);
                }
            }
            _ => {}
        }
    }

    /// Goes down to a member; answers the length to go back to.
    fn enter(&mut self, key: &str) -> usize {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        len
    }

    /// Goes down to an element; answers the same.
    fn enter_index(&mut self, place: usize) -> usize {
        let len = self.path.len();
        write!(self.path, "[{place}]").expect("a String takes everything");
        len
    }

    fn note(&mut self, what: &str) {
        if self.found.len() >= MOST || self.size >= LARGE {
            return;
        }
        let found =
            if self.tells { format!("{what} field {}", quoted(&self.path)) } else { self.path.clone() };
        if !self.found.contains(&found) {
            self.size += found.len();
            self.found.push(found);
        }
    }
}

fn holds_structs(shape: &Shape) -> bool {
    matches!(shape, Shape::Struct(_) | Shape::List(..) | Shape::Map(..))
}

/// What a value of the document is to be.
#[derive(Clone, Copy)]
enum Whole<'t> {
    Type(&'t Type),
    Shape(&'t Shape),
}

impl<'t> Whole<'t> {
    fn of(shape: &'t Shape) -> Self {
        match shape {
            Shape::Struct(reference) => Self::Type(reference.get()),
            shape => Self::Shape(shape),
        }
    }
}

/// Reads one value of the document for what is wrong with it; `None`: nothing is known of it, so nothing is.
struct Node<'t, 'f> {
    of: Option<Whole<'t>>,
    finder: &'f mut Finder,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some(Whole::Shape(Shape::List(element, _))) = self.of else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        for place in 0.. {
            let len = self.finder.enter_index(place);
            let more = seq.next_element_seed(Node { of: Some(Whole::of(element)), finder: self.finder })?;
            self.finder.path.truncate(len);
            if more.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let len = self.finder.enter(&key);
            let field = match self.of {
                Some(Whole::Type(of)) => of.field(&key).map(|field| Some(Whole::of(&field.shape))),
                Some(Whole::Shape(Shape::Map(element, _))) => Some(Some(Whole::of(element))),
                _ => Some(None),
            };
            match field {
                None => self.finder.note("unknown"),
                Some(Some(_)) if !seen.insert(key) => self.finder.note("duplicate"),
                Some(_) => {}
            }
            map.next_value_seed(Node { of: field.flatten(), finder: self.finder })?;
            self.finder.path.truncate(len);
        }
        Ok(())
    }
}
