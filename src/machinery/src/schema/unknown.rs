//! What strict decoding finds besides errors: fields that the type does not have, and fields that come twice.

use std::fmt::Write;

use super::{Shape, Type};
use crate::json::{LARGE, Parsed, Tree, quoted};

/// Upstream collects no more.
const MOST: usize = 100;

/// The paths of fields that the type does not have, such as `spec.containers[0].foo`, in document order, at most 100.
pub fn unknown_fields(tree: &Tree<'_>, of: &Type) -> Vec<String> {
    let mut finder = Finder { path: String::new(), found: Vec::new(), size: 0 };
    finder.members(tree, of);
    finder.found
}

/// What strict decoding reports: `unknown field "spec.foo"`, `duplicate field "spec.bar"`.
pub fn strict_errors(parsed: &Parsed<'_>, of: &Type) -> Vec<String> {
    let unknown = unknown_fields(&parsed.tree, of);
    let unknown = unknown.iter().map(|path| format!("unknown field {}", quoted(path)));
    let duplicate = parsed.duplicates.iter().map(|path| format!("duplicate field {}", quoted(path)));
    unknown.chain(duplicate).take(MOST).collect()
}

struct Finder {
    path: String,
    found: Vec<String>,
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
                None if self.found.len() < MOST && self.size < LARGE => {
                    self.size += self.path.len();
                    self.found.push(self.path.clone());
                }
                None => {}
            }
            self.path.truncate(len);
        }
    }

    fn value(&mut self, tree: &Tree<'_>, shape: &Shape) {
        match (shape, tree) {
            (Shape::Struct(reference), _) => self.members(tree, reference.get()),
            (Shape::List(element, _), Tree::Array(items)) if holds_structs(element) => {
                for (place, item) in items.iter().enumerate() {
                    let len = self.path.len();
                    write!(self.path, "[{place}]").expect("a String takes everything");
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
}

fn holds_structs(shape: &Shape) -> bool {
    matches!(shape, Shape::Struct(_) | Shape::List(..) | Shape::Map(..))
}
