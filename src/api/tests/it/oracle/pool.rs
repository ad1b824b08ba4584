//! Valid objects to start from, and their parts by type: what a field may plausibly hold.
//!
//! The objects stand in `objects/<kind>.yaml` (`<group>.<kind>.yaml` where two groups have a kind of that name), one document each.

use std::collections::BTreeMap;
use std::path::Path;

use coxswain_api::{Descriptor, bodies, builtin};
use machinery::schema::{Shape, Type};
use serde_json::Value;

/// Values by what they are.
#[derive(Default)]
pub(super) struct Parts {
    structs: BTreeMap<&'static str, Vec<Value>>,
    strings: BTreeMap<String, Vec<Value>>,
}

impl Parts {
    /// Values of a struct type.
    pub(super) fn of_type(&self, name: &str) -> &[Value] {
        self.structs.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Strings that stand in fields of this name.
    pub(super) fn strings(&self, field: &str) -> &[Value] {
        self.strings.get(field).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn add(&mut self, value: &Value, type_: &'static Type) {
        self.structs.entry(type_.name).or_default().push(value.clone());
        for field in &type_.fields {
            if let Some(value) = value.get(field.name) {
                self.add_value(value, &field.shape, field.name);
            }
        }
    }

    fn add_value(&mut self, value: &Value, shape: &'static Shape, field: &str) {
        match shape {
            Shape::Struct(reference) => self.add(value, reference.get()),
            Shape::List(element, _) => {
                value.as_array().into_iter().flatten().for_each(|one| self.add_value(one, element, field));
            }
            Shape::Map(element, _) => value
                .as_object()
                .into_iter()
                .flatten()
                .for_each(|(_, one)| self.add_value(one, element, field)),
            Shape::String(_) => {
                let known = self.strings.entry(field.to_owned()).or_default();
                if !known.contains(value) {
                    known.push(value.clone());
                }
            }
            _ => {}
        }
    }
}

/// The valid objects of every kind, and all their parts.
pub(super) struct Pool {
    objects: BTreeMap<String, Vec<Value>>,
    pub(super) parts: Parts,
}

impl Pool {
    pub(super) fn new() -> Pool {
        let mut pool = Pool { objects: BTreeMap::new(), parts: Parts::default() };
        for kind in [builtin(), bodies()].concat() {
            let objects = read(&kind);
            objects.iter().for_each(|object| pool.parts.add(object, kind.schema));
            pool.objects.insert(kind.gvk.to_string(), objects);
        }
        pool
    }

    /// The valid objects of a kind.
    pub(super) fn objects(&self, kind: &Descriptor) -> &[Value] {
        &self.objects[&kind.gvk.to_string()]
    }
}

fn read(kind: &Descriptor) -> Vec<Value> {
    let name = kind.gvk.kind.to_lowercase();
    let name = if kind.gvk.group == "events.k8s.io" { format!("events.{name}") } else { name };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oracle/objects");
    let path = folder.join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let objects = serde_saphyr::from_multiple(&text);
    let mut objects: Vec<Value> = objects.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for object in &mut objects {
        object["apiVersion"] = kind.gvk.api_version().into();
        object["kind"] = kind.gvk.kind.clone().into();
    }
    objects
}
