//! From types to OpenAPI v3 schemas, in the form in which upstream publishes them: siblings of a reference stand beside an
//! `allOf`, and lists and maps carry upstream's `x-kubernetes-…` extensions.

use std::collections::BTreeMap;

use machinery::schema::{self, Field, ListType, Shape, Type};
use serde_json::{Map, Value, json};

use super::descriptions::Index;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// Schemas by name, with all that they refer to.
pub(super) struct Schemas<'a> {
    descriptions: &'a Index<'a>,
    /// By the name of a type: the list of the kinds that it is.
    kinds: &'a BTreeMap<&'static str, Value>,
    done: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(descriptions: &'a Index<'a>, kinds: &'a BTreeMap<&'static str, Value>) -> Schemas<'a> {
        Schemas { descriptions, kinds, done: BTreeMap::new() }
    }

    /// Adds a type by name and what it refers to; answers a reference to it.
    pub(super) fn add(&mut self, name: &str) -> Value {
        match schema::named(name) {
            Some(found) => self.add_type(found),
            None => self.add_scalar(name),
        }
    }

    pub(super) fn into_inner(self) -> BTreeMap<String, Value> {
        self.done
    }

    fn add_type(&mut self, found: &'static Type) -> Value {
        if !self.done.contains_key(found.name) {
            // Marked first, since types may contain themselves.
            self.done.insert(found.name.to_owned(), Value::Null);
            let schema = self.object(found);
            self.done.insert(found.name.to_owned(), schema);
        }
        reference(found.name)
    }

    /// Types that are no structs in JSON.
    fn add_scalar(&mut self, name: &str) -> Value {
        if !self.done.contains_key(name) {
            let mut schema = match name {
                QUANTITY => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
                INT_OR_STRING => {
                    json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
                }
                name if name.ends_with("Time") => json!({"type": "string", "format": "date-time"}),
                _ => json!({"type": "object"}),
            };
            if let Some(text) = self.descriptions.of_type(name) {
                schema["description"] = text.into();
            }
            self.done.insert(name.to_owned(), schema);
        }
        reference(name)
    }

    fn object(&mut self, found: &'static Type) -> Value {
        let mut object = Map::new();
        if let Some(text) = self.descriptions.of_type(found.name) {
            object.insert("description".to_owned(), text.into());
        }
        let properties: Map<String, Value> =
            found.fields.iter().map(|field| (field.name.to_owned(), self.property(found, field))).collect();
        let required: Vec<&str> =
            found.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        object.insert("type".to_owned(), "object".into());
        object.insert("properties".to_owned(), properties.into());
        if !required.is_empty() {
            object.insert("required".to_owned(), required.into());
        }
        if found.atomic {
            object.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
        }
        if let Some(kinds) = self.kinds.get(found.name) {
            object.insert("x-kubernetes-group-version-kind".to_owned(), kinds.clone());
        }
        object.into()
    }

    fn property(&mut self, of: &Type, field: &'static Field) -> Value {
        let mut property = Map::new();
        match self.shape(&field.shape) {
            Value::Object(shape) if shape.contains_key("$ref") => {
                property.insert("allOf".to_owned(), json!([shape]));
            }
            Value::Object(shape) => property = shape,
            _ => unreachable!("a shape is an object"),
        }
        if let Some(text) = self.descriptions.of_field(of.name, field.name) {
            property.insert("description".to_owned(), text.into());
        }
        if let Some(default) = default(field) {
            property.insert("default".to_owned(), default);
        }
        if !field.allowed.is_empty() {
            let allowed = json!(field.allowed);
            match property.get_mut("items") {
                Some(items) => items["enum"] = allowed,
                None => drop(property.insert("enum".to_owned(), allowed)),
            }
        }
        extensions(field, &mut property);
        property.into()
    }

    fn shape(&mut self, shape: &'static Shape) -> Value {
        match shape {
            Shape::String(_) => json!({"type": "string"}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Float => json!({"type": "number", "format": "double"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::Quantity => self.add_scalar(QUANTITY),
            Shape::IntOrString => self.add_scalar(INT_OR_STRING),
            Shape::Time => self.add_scalar(&format!("{META}.Time")),
            Shape::MicroTime => self.add_scalar(&format!("{META}.MicroTime")),
            Shape::Any("v1.FieldsV1") => self.add_scalar(&format!("{META}.FieldsV1")),
            Shape::Any(_) => self.add_scalar(RAW),
            Shape::Struct(reference) => self.add_type(reference.get()),
            Shape::List(element, _) => json!({"type": "array", "items": self.element(element)}),
            Shape::Map(value, _) => json!({"type": "object", "additionalProperties": self.element(value)}),
        }
    }

    /// Elements have Go's zero value as their default.
    fn element(&mut self, shape: &'static Shape) -> Value {
        let mut element = self.shape(shape);
        let zero = match shape {
            Shape::String(_) => json!(""),
            Shape::Bool => json!(false),
            Shape::Int32 | Shape::Int64 | Shape::Float => json!(0),
            Shape::Struct(_) => return json!({"allOf": [element], "default": {}}),
            _ => return element,
        };
        element["default"] = zero;
        element
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn default(field: &Field) -> Option<Value> {
    if field.default.is_empty() {
        return None;
    }
    Some(serde_json::from_str(field.default).expect("the generator writes defaults as JSON"))
}

fn extensions(field: &Field, property: &mut Map<String, Value>) {
    let mut insert = |name: &str, value: Value| property.insert(format!("x-kubernetes-{name}"), value);
    let list_type = match field.list_type {
        ListType::Unstated => None,
        ListType::Atomic => Some("atomic"),
        ListType::Set => Some("set"),
        ListType::Map => Some("map"),
    };
    if let Some(list_type) = list_type {
        insert("list-type", list_type.into());
    }
    if !field.list_map_keys.is_empty() {
        insert("list-map-keys", json!(field.list_map_keys));
    }
    if field.atomic {
        insert("map-type", "atomic".into());
    }
    let patch = field.patch;
    let strategies = [(patch.merge, "merge"), (patch.replace, "replace"), (patch.retain_keys, "retainKeys")];
    let strategies: Vec<&str> = strategies.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    if !strategies.is_empty() {
        insert("patch-strategy", strategies.join(",").into());
    }
    if !field.patch_merge_key.is_empty() {
        insert("patch-merge-key", field.patch_merge_key.into());
    }
}
