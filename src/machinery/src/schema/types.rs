//! What a type is made of.

use std::borrow::Cow;
use std::sync::OnceLock;

use super::facts;
use super::numbered::Numbered;

/// A Go struct as the API shows it: embedded structs are flattened.
#[derive(Debug)]
pub struct Type {
    /// The OpenAPI name, such as `io.k8s.api.core.v1.Pod`.
    pub name: &'static str,
    /// Whether server-side apply replaces values of this type as a whole.
    pub atomic: bool,
    /// The fields in the order in which Go encodes them.
    pub fields: Box<[Field]>,
    /// The same as protobuf has them, made when first needed.
    pub(super) by_number: OnceLock<Box<[Numbered]>>,
}

/// One field of a type.
#[derive(Debug)]
pub struct Field {
    /// The name in JSON.
    pub name: &'static str,
    /// The protobuf number; 0 where the field is not in protobuf (`apiVersion` and `kind`).
    pub number: u32,
    /// The embedded structs that hold the field, from the outside in; mostly none.
    pub within: Box<[Embedded]>,
    /// What values look like.
    pub shape: Shape,
    /// Whether Go holds a pointer, so that absent and zero differ.
    pub pointer: bool,
    /// Whether the encoder drops the zero value (false, 0, "", nil or empty lists and maps).
    pub omit_empty: bool,
    /// Whether the encoder drops a struct that is all zero.
    pub omit_zero: bool,
    /// Whether OpenAPI lists the field as required.
    pub required: bool,
    /// The default of OpenAPI as JSON; empty if there is none.
    pub default: &'static str,
    /// The values (or elements) allowed, where the field is an enumeration.
    pub allowed: Box<[&'static str]>,
    /// How a list is to be merged by server-side apply.
    pub list_type: ListType,
    /// The fields that identify the elements of a list of type `map`.
    pub list_map_keys: Box<[&'static str]>,
    /// Whether a map or struct is to be replaced as a whole by server-side apply.
    pub atomic: bool,
    /// What strategic merge patches do to the value.
    pub patch: PatchStrategy,
    /// The field by which strategic merge matches elements; empty for lists of scalars.
    pub patch_merge_key: &'static str,
}

/// A struct that Go embeds in another, and whose fields JSON shows as the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// The name of the Go field.
    pub name: &'static str,
    /// The protobuf number of the message; 0 where it is not in protobuf (`TypeMeta`).
    pub number: u32,
}

/// What strategic merge patches do to a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// A list is merged, element by element, instead of replaced.
    pub merge: bool,
    /// A struct or map is replaced instead of merged.
    pub replace: bool,
    /// The patch may name the keys to keep.
    pub retain_keys: bool,
}

/// How server-side apply treats a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Upstream does not say, which means as one value.
    #[default]
    Unstated,
    /// As one value.
    Atomic,
    /// As a set of scalars.
    Set,
    /// As elements identified by their keys.
    Map,
}

/// What the values of a field look like in JSON and in Go.
#[derive(Debug)]
pub enum Shape {
    /// A string; the Go type if it is a named one, such as `v1.Protocol`, else nothing.
    String(&'static str),
    /// `true` or `false`.
    Bool,
    /// A 32-bit whole number.
    Int32,
    /// A 64-bit whole number.
    Int64,
    /// A floating-point number.
    Float,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A `resource.Quantity`.
    Quantity,
    /// An `intstr.IntOrString`.
    IntOrString,
    /// A point in time in whole seconds.
    Time,
    /// A point in time in microseconds.
    MicroTime,
    /// Any JSON (`runtime.RawExtension`, `JSON`, `FieldsV1`); the Go type.
    Any(&'static str),
    /// Another type.
    Struct(TypeRef),
    /// A list; the Go type if it is a named one.
    List(Box<Shape>, &'static str),
    /// A map from strings; the Go type if it is a named one.
    Map(Box<Shape>, &'static str),
}

/// A type by name, looked up when first needed.
#[derive(Debug)]
pub struct TypeRef {
    name: &'static str,
    found: OnceLock<&'static Type>,
}

impl TypeRef {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, found: OnceLock::new() }
    }

    /// The OpenAPI name of the type.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The type.
    pub fn get(&self) -> &'static Type {
        self.found.get_or_init(|| {
            facts::named(self.name).expect("the generator writes every type that it refers to")
        })
    }
}

impl Type {
    /// The field of this JSON name. Case counts.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The name as Go prints it, such as `v1.Pod`.
    pub fn go_name(&self) -> &'static str {
        let Some((rest, name)) = self.name.rsplit_once('.') else { return self.name };
        let version = rest.rsplit_once('.').map_or(rest, |(_, version)| version);
        &self.name[self.name.len() - name.len() - version.len() - 1..]
    }

    /// The name without its package, such as `Pod`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, name)| name)
    }
}

impl Shape {
    /// The type, if this is one.
    pub fn as_struct(&self) -> Option<&'static Type> {
        if let Self::Struct(reference) = self { Some(reference.get()) } else { None }
    }

    /// The type as Go prints it in errors.
    pub fn go_type(&self) -> Cow<'static, str> {
        match self {
            Self::String("") => "string".into(),
            Self::Bool => "bool".into(),
            Self::Int32 => "int32".into(),
            Self::Int64 => "int64".into(),
            Self::Float => "float64".into(),
            Self::Bytes => "[]uint8".into(),
            Self::Quantity => "resource.Quantity".into(),
            Self::IntOrString => "intstr.IntOrString".into(),
            Self::Time => "v1.Time".into(),
            Self::MicroTime => "v1.MicroTime".into(),
            Self::Struct(reference) => reference.get().go_name().into(),
            Self::List(element, "") => format!("[]{}", element.go_type()).into(),
            Self::Map(value, "") => format!("map[string]{}", value.go_type()).into(),
            Self::String(name) | Self::Any(name) | Self::List(_, name) | Self::Map(_, name) => (*name).into(),
        }
    }

    /// What the elements of a list or the values of a map look like.
    pub fn element(&self) -> Option<&Shape> {
        match self {
            Self::List(element, _) | Self::Map(element, _) => Some(element),
            _ => None,
        }
    }
}
