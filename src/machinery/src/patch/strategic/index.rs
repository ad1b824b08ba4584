//! Where the elements of a list are, by what identifies them, so that long lists are merged in one pass.

use std::collections::HashMap;
use std::fmt::Write;

use super::order::Key;
use crate::json::Tree;

/// The first place of each element of a list.
#[derive(Debug, Default)]
pub(super) struct Index(HashMap<String, usize>);

impl Index {
    /// Elements without a key are nowhere.
    pub(super) fn of(list: &[Tree<'static>], key: Key) -> Index {
        let mut index = Index::default();
        for (place, element) in list.iter().enumerate() {
            if let Ok(identity) = key.of(element) {
                index.add(identity, place);
            }
        }
        index
    }

    /// Where the element is that is identified so.
    pub(super) fn place(&self, identity: &Tree<'static>) -> Option<usize> {
        self.0.get(&text(identity)).copied()
    }

    /// Notes an element, unless there is one of this identity; whether it was noted.
    pub(super) fn add(&mut self, identity: &Tree<'static>, place: usize) -> bool {
        let len = self.0.len();
        self.0.entry(text(identity)).or_insert(place);
        self.0.len() > len
    }
}

/// A text that two values share only if they are equal.
fn text(tree: &Tree<'_>) -> String {
    let mut text = String::new();
    describe(tree, &mut text);
    text
}

fn describe(tree: &Tree<'_>, text: &mut String) {
    match tree {
        // A whole number and one with a fraction of nothing are two.
        Tree::Float(number) => write!(text, "float {number}").expect("a String takes everything"),
        Tree::Array(items) => {
            text.push('[');
            for item in items {
                describe(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Tree::Object(object) => {
            text.push('{');
            for (key, value) in object.sorted() {
                text.push_str(&crate::json::quoted(key));
                describe(value, text);
                text.push(',');
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}
