//! From a tree to typed objects.

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::Tree;

/// A tree does not fit a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Where, such as `spec.containers[0].name`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { path: String::new(), message: message.to_string() }
    }
}

impl Error {
    fn below_key(mut self, key: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{key}{separator}{}", self.path);
        self
    }

    fn below_index(mut self, index: usize) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{separator}{}", self.path);
        self
    }
}

/// The member of a `Condition` that may be left out.
const TRANSITION: &str = "lastTransitionTime";

/// Go's zero time, which is `null` in JSON.
pub(super) const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

static UNSET_TIME: Tree<'static> = Tree::String(std::borrow::Cow::Borrowed(ZERO_TIME));

/// Makes a typed object of a tree.
pub fn from_tree<T: DeserializeOwned>(tree: &Tree<'_>) -> Result<T, Error> {
    T::deserialize(tree)
}

impl<'de> de::Deserializer<'de> for &'de Tree<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(*value),
            Tree::Int(number) => visitor.visit_i64(*number),
            Tree::Uint(number) => visitor.visit_u64(*number),
            Tree::Float(number) => visitor.visit_f64(*number),
            Tree::String(text) => visitor.visit_borrowed_str(text),
            Tree::Array(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            Tree::Object(object) => visitor.visit_map(Members { members: object.iter(), current: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    /// A quantity may come as a number, though `k8s-openapi` holds it as a string.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == "Quantity" && matches!(self, Tree::Int(_) | Tree::Uint(_) | Tree::Float(_)) {
            return visitor
                .visit_newtype_struct(IntoDeserializer::<Error>::into_deserializer(self.to_string()));
        }
        visitor.visit_newtype_struct(self)
    }

    /// In Go a member that is `null` is one that is not there.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Tree::Null => {
                visitor.visit_map(de::value::MapDeserializer::new(std::iter::empty::<(&str, &str)>()))
            }
            Tree::Object(object) => {
                let mut members: Vec<_> = object.iter().filter(|(_, value)| !value.is_null()).collect();
                // The one time that `k8s-openapi` insists on and Go does not.
                if name == "Condition" && !members.iter().any(|(key, _)| *key == TRANSITION) {
                    members.push((TRANSITION, &UNSET_TIME));
                }
                visitor.visit_map(Members { members: members.into_iter(), current: None })
            }
            _ => self.deserialize_any(visitor),
        }
    }

    /// In Go a string that is `null` is the empty one.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_borrowed_str("") } else { self.deserialize_any(visitor) }
    }

    /// In Go a list that is `null` is the empty one.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() {
            visitor.visit_seq(Items { items: [].iter(), index: 0 })
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Tree::String(text) => visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(&**text)),
            Tree::Object(object) if object.len() == 1 => visitor
                .visit_enum(MapAccessDeserializer::new(Members { members: object.iter(), current: None })),
            other => Err(de::Error::invalid_type(de::Unexpected::Other(other.go_kind()), &"an enum")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct tuple
        tuple_struct map identifier
    }
}

struct Items<'de, 'a> {
    items: std::slice::Iter<'de, Tree<'a>>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.below_index(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Members<'de, I> {
    members: I,
    current: Option<(&'de str, &'de Tree<'de>)>,
}

impl<'de, 'a: 'de, I: ExactSizeIterator<Item = (&'de str, &'de Tree<'a>)>> MapAccess<'de>
    for Members<'de, I>
{
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.members.next() else { return Ok(None) };
        self.current = Some((key, value));
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (key, value) = self.current.take().expect("serde asks for a value only after its key");
        seed.deserialize(value).map_err(|error| error.below_key(key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.len())
    }
}
