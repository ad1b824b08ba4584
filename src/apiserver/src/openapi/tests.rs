mod gnostic;
mod upstream;

use std::collections::BTreeSet;

use serde_json::Value;

use super::{descriptions::Descriptions, v3};
use crate::discovery;
use crate::registry::Registry;

fn document() -> Value {
    let registry = Registry::builtin();
    let versions = discovery::listed(&registry);
    v3::document(&registry, &versions.iter().collect::<Vec<_>>())
}

#[test]
fn every_kind_served_is_described() {
    let descriptions = Descriptions::load();
    let index = descriptions.index();
    for kind in Registry::builtin().kinds() {
        assert!(index.of_type(kind.schema.name).is_some(), "{} is missing in build.rs", kind.schema.name);
    }
}

#[test]
fn every_reference_has_its_schema() {
    let document = document();
    let mut wanted = BTreeSet::new();
    collect(&document, &mut wanted);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in wanted {
        assert!(schemas.contains_key(name.rsplit('/').next().unwrap()), "{name}");
    }
}

fn collect<'a>(value: &'a Value, references: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn pods_ports_merge_as_upstream_publishes_it() {
    let document = document();
    let ports = &document["components"]["schemas"]["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(ports["x-kubernetes-list-map-keys"], serde_json::json!(["containerPort", "protocol"]));
}

#[test]
fn patches_offer_field_validation_to_kubectl() {
    let document = document();
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
    let names: Vec<&str> = patch["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    assert!(names.contains(&"fieldValidation"), "{names:?}");
}
