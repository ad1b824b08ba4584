//! From typed objects to a tree.

use std::borrow::Cow;

use serde::ser::{self, Serialize};

use super::de::ZERO_TIME;
use super::{Object, Tree};

/// A value cannot be said in JSON, or its `Serialize` failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SerializeError(String);

impl ser::Error for SerializeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Makes a tree of anything that serialises.
pub fn to_tree<T: Serialize + ?Sized>(value: &T) -> Result<Tree<'static>, SerializeError> {
    value.serialize(IntoTree)
}

type Made = Result<Tree<'static>, SerializeError>;

struct IntoTree;

impl ser::Serializer for IntoTree {
    type Ok = Tree<'static>;
    type Error = SerializeError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Variant<Items>;
    type SerializeMap = Members;
    type SerializeStruct = Members;
    type SerializeStructVariant = Variant<Members>;

    fn serialize_bool(self, value: bool) -> Made {
        Ok(Tree::Bool(value))
    }

    fn serialize_i8(self, number: i8) -> Made {
        Ok(Tree::Int(number.into()))
    }

    fn serialize_i16(self, number: i16) -> Made {
        Ok(Tree::Int(number.into()))
    }

    fn serialize_i32(self, number: i32) -> Made {
        Ok(Tree::Int(number.into()))
    }

    fn serialize_i64(self, number: i64) -> Made {
        Ok(Tree::Int(number))
    }

    fn serialize_u8(self, number: u8) -> Made {
        Ok(Tree::Int(number.into()))
    }

    fn serialize_u16(self, number: u16) -> Made {
        Ok(Tree::Int(number.into()))
    }

    fn serialize_u32(self, number: u32) -> Made {
        Ok(Tree::Int(number.into()))
    }

    fn serialize_u64(self, number: u64) -> Made {
        Ok(i64::try_from(number).map_or(Tree::Uint(number), Tree::Int))
    }

    fn serialize_f32(self, number: f32) -> Made {
        Ok(Tree::Float(number.into()))
    }

    fn serialize_f64(self, number: f64) -> Made {
        Ok(Tree::Float(number))
    }

    fn serialize_char(self, value: char) -> Made {
        Ok(Tree::from(value.to_string()))
    }

    fn serialize_str(self, text: &str) -> Made {
        Ok(Tree::from(text.to_owned()))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Made {
        Ok(Tree::Array(bytes.iter().map(|&byte| Tree::Int(byte.into())).collect()))
    }

    fn serialize_none(self) -> Made {
        Ok(Tree::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Made {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Made {
        Ok(Tree::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Made {
        Ok(Tree::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Made {
        Ok(Tree::from(variant))
    }

    /// Go's zero time is `null`.
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Made {
        let tree = value.serialize(self)?;
        let is_unset = name == "Time" && tree.as_str() == Some(ZERO_TIME);
        Ok(if is_unset { Tree::Null } else { tree })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Made {
        Ok(under(variant, value.serialize(self)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items, SerializeError> {
        Ok(Items(Vec::with_capacity(len.unwrap_or(0))))
    }

    fn serialize_tuple(self, len: usize) -> Result<Items, SerializeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Items, SerializeError> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Variant<Items>, SerializeError> {
        Ok(Variant(variant, self.serialize_seq(Some(len))?))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Members, SerializeError> {
        Ok(Members { object: Object::with_capacity(len.unwrap_or(0)), key: None })
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Members, SerializeError> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Variant<Members>, SerializeError> {
        Ok(Variant(variant, self.serialize_map(Some(len))?))
    }
}

fn under(variant: &'static str, value: Tree<'static>) -> Tree<'static> {
    Tree::Object(Object::from_iter([(Cow::Borrowed(variant), value)]))
}

struct Items(Vec<Tree<'static>>);

struct Members {
    object: Object<'static>,
    key: Option<Cow<'static, str>>,
}

struct Variant<T>(&'static str, T);

impl ser::SerializeSeq for Items {
    type Ok = Tree<'static>;
    type Error = SerializeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.0.push(value.serialize(IntoTree)?);
        Ok(())
    }

    fn end(self) -> Made {
        Ok(Tree::Array(self.0))
    }
}

impl ser::SerializeTuple for Items {
    type Ok = Tree<'static>;
    type Error = SerializeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Made {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleStruct for Items {
    type Ok = Tree<'static>;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Made {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleVariant for Variant<Items> {
    type Ok = Tree<'static>;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        ser::SerializeSeq::serialize_element(&mut self.1, value)
    }

    fn end(self) -> Made {
        Ok(under(self.0, ser::SerializeSeq::end(self.1)?))
    }
}

impl ser::SerializeMap for Members {
    type Ok = Tree<'static>;
    type Error = SerializeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        self.key = Some(match key.serialize(IntoTree)? {
            Tree::String(text) => text,
            other => Cow::Owned(other.to_string()),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        let key = self.key.take().expect("serde gives a value only after its key");
        // Whoever serialises a map has unique keys; looking for a duplicate would make large maps quadratic.
        self.object.push(key, value.serialize(IntoTree)?);
        Ok(())
    }

    fn end(self) -> Made {
        Ok(Tree::Object(self.object))
    }
}

impl ser::SerializeStruct for Members {
    type Ok = Tree<'static>;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        self.object.push(Cow::Borrowed(key), value.serialize(IntoTree)?);
        Ok(())
    }

    fn end(self) -> Made {
        Ok(Tree::Object(self.object))
    }
}

impl ser::SerializeStructVariant for Variant<Members> {
    type Ok = Tree<'static>;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        ser::SerializeStruct::serialize_field(&mut self.1, key, value)
    }

    fn end(self) -> Made {
        Ok(under(self.0, ser::SerializeStruct::end(self.1)?))
    }
}
