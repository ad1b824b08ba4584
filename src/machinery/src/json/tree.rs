//! The tree and how to reach into it.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::Object;

/// A JSON value. Strings borrow from the input where they need no unescaping.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Tree<'a> {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// A whole number above `i64::MAX`.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// A string.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Tree<'a>>),
    /// An object.
    Object(Object<'a>),
}

impl<'a> Tree<'a> {
    /// An object without members.
    pub fn empty_object() -> Self {
        Self::Object(Object::default())
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The whole number, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Tree<'a>]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The elements to be changed, if it is an array.
    pub fn as_array_mut(&mut self) -> Option<&mut Vec<Tree<'a>>> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The members to be changed, if it is an object.
    pub fn as_object_mut(&mut self) -> Option<&mut Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The member `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Tree<'a>> {
        self.as_object()?.get(key)
    }

    /// The member `key` of an object, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Tree<'a>> {
        self.as_object_mut()?.get_mut(key)
    }

    /// What is found by following `keys` through objects.
    pub fn pointer(&self, keys: &[&str]) -> Option<&Tree<'a>> {
        keys.iter().try_fold(self, |tree, key| tree.get(key))
    }

    /// What is found by following `keys` through objects, to be changed.
    pub fn pointer_mut(&mut self, keys: &[&str]) -> Option<&mut Tree<'a>> {
        keys.iter().try_fold(self, |tree, key| tree.get_mut(key))
    }

    /// Puts `value` where `keys` lead to, making the objects on the way (in place of what is no object).
    pub fn set(&mut self, keys: &[&str], value: Tree<'a>) {
        let Some((first, rest)) = keys.split_first() else {
            *self = value;
            return;
        };
        if self.as_object().is_none() {
            *self = Self::empty_object();
        }
        if let Self::Object(object) = self {
            object.get_or_insert_with(Cow::Owned((*first).to_owned()), || Tree::Null).set(rest, value);
        }
    }

    /// Takes away what `keys` lead to.
    pub fn remove(&mut self, keys: &[&str]) -> Option<Tree<'a>> {
        let (last, parents) = keys.split_last()?;
        self.pointer_mut(parents)?.as_object_mut()?.remove(last)
    }

    /// How Go's decoder names the type of this value in its errors.
    pub fn go_kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Uint(_) | Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// Levels of nesting: 1 for a scalar.
    pub fn depth(&self) -> usize {
        1 + match self {
            Self::Array(items) => items.iter().map(Tree::depth).max().unwrap_or(0),
            Self::Object(object) => object.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// The same tree, borrowing nothing.
    pub fn into_owned(self) -> Tree<'static> {
        match self {
            Self::Null => Tree::Null,
            Self::Bool(value) => Tree::Bool(value),
            Self::Int(number) => Tree::Int(number),
            Self::Uint(number) => Tree::Uint(number),
            Self::Float(number) => Tree::Float(number),
            Self::String(text) => Tree::String(Cow::Owned(text.into_owned())),
            Self::Array(items) => Tree::Array(items.into_iter().map(Tree::into_owned).collect()),
            Self::Object(object) => Tree::Object(
                object
                    .into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// The tree of a `serde_json` value, borrowing its strings.
    pub fn from_value(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::from_number(number),
            Value::String(text) => Self::String(Cow::Borrowed(text)),
            Value::Array(items) => Self::Array(items.iter().map(Self::from_value).collect()),
            Value::Object(object) => Self::Object(
                object
                    .iter()
                    .map(|(key, value)| (Cow::Borrowed(key.as_str()), Self::from_value(value)))
                    .collect(),
            ),
        }
    }

    fn from_number(number: &serde_json::Number) -> Self {
        if let Some(number) = number.as_i64() {
            Self::Int(number)
        } else if let Some(number) = number.as_u64() {
            Self::Uint(number)
        } else {
            Self::Float(number.as_f64().unwrap_or(f64::NAN))
        }
    }

    /// The same as a `serde_json` value.
    pub fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(number) => Value::from(number),
            Self::Uint(number) => Value::from(number),
            Self::Float(number) => Value::from(number),
            Self::String(text) => Value::String(text.into_owned()),
            Self::Array(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Object(object) => Value::Object(
                object.into_iter().map(|(key, value)| (key.into_owned(), value.into_value())).collect(),
            ),
        }
    }
}

impl<'a> From<&'a str> for Tree<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(Cow::Borrowed(text))
    }
}

impl From<String> for Tree<'_> {
    fn from(text: String) -> Self {
        Self::String(Cow::Owned(text))
    }
}

impl From<bool> for Tree<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Tree<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl<'a> From<Object<'a>> for Tree<'a> {
    fn from(object: Object<'a>) -> Self {
        Self::Object(object)
    }
}

impl<'a> From<Vec<Tree<'a>>> for Tree<'a> {
    fn from(items: Vec<Tree<'a>>) -> Self {
        Self::Array(items)
    }
}

impl Serialize for Tree<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Uint(number) => serializer.serialize_u64(*number),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(object) => serializer.collect_map(object.iter()),
        }
    }
}
