//! What we publish beside what upstream publishes (`api/openapi-spec` of the Go module `k8s.io/kubernetes`).

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::super::{paths, v2, v3};
use crate::discovery;
use crate::registry::Registry;

/// Extensions that are not among the schema facts; server-side apply does not need them.
const NOT_PUBLISHED: [&str; 1] = ["x-kubernetes-unions"];

/// Query parameters that are not served.
const NOT_SERVED: [&str; 3] = ["force", "ignoreStoreReadErrorWithClusterBreakingPotential", "shardSelector"];

fn folder() -> PathBuf {
    testing::upstream::module("k8s.io/kubernetes").join("api/openapi-spec")
}

fn read(name: &str) -> Value {
    let path = folder().join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}

/// Our documents of v3, each with upstream's.
fn documents() -> Vec<(Value, Value)> {
    let registry = Registry::builtin();
    let versions = discovery::listed(&registry);
    let pair = |one| {
        let (version, _) = one;
        let name = paths::root(version).trim_start_matches('/').replace('/', "__");
        (v3::document(&registry, &[one]), read(&format!("v3/{name}_openapi.json")))
    };
    versions.iter().map(pair).collect()
}

/// Without descriptions, and without what the published files or we leave out.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_text = |name: &str, value: &Value| name == "description" && value.is_string();
            let is_left_out = |name: &str| name == "enum" || NOT_PUBLISHED.contains(&name);
            let kept = fields.iter().filter(|(name, value)| !is_text(name, value) && !is_left_out(name));
            kept.map(|(name, value)| (name.clone(), comparable(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(comparable).collect(),
        other => other.clone(),
    }
}

#[track_caller]
fn check(what: &str, ours: &Value, upstreams: &Value) {
    let (ours, upstreams) = (comparable(ours), comparable(upstreams));
    assert!(ours == upstreams, "{what}\nours:     {ours}\nupstream: {upstreams}");
}

#[test]
fn schemas_of_v3_are_upstreams() {
    for (ours, upstreams) in documents() {
        for (name, schema) in ours["components"]["schemas"].as_object().unwrap() {
            check(name, schema, &upstreams["components"]["schemas"][name]);
        }
    }
}

#[test]
fn operations_of_v3_are_upstreams() {
    for (ours, upstreams) in documents() {
        for (path, item) in ours["paths"].as_object().unwrap() {
            let theirs = &upstreams["paths"][path];
            for method in item.as_object().unwrap().keys().filter(|method| *method != "parameters") {
                check(&format!("{method} {path}"), &operation(item, method), &operation(theirs, method));
            }
        }
    }
}

/// What clients read from an operation; bodies without the media types, of which we serve fewer.
fn operation(item: &Value, method: &str) -> Value {
    let operation = &item[method];
    let all =
        [&item["parameters"], &operation["parameters"]].into_iter().filter_map(Value::as_array).flatten();
    let parameters: BTreeSet<String> = all
        .filter(|one| !NOT_SERVED.contains(&one["name"].as_str().unwrap()))
        .map(|one| comparable(one).to_string())
        .collect();
    let responses = operation["responses"].as_object().into_iter().flatten();
    let responses = responses.map(|(code, response)| (code.clone(), schema(response)));
    json!({
        "id": operation["operationId"],
        "action": operation["x-kubernetes-action"],
        "kind": operation["x-kubernetes-group-version-kind"],
        "tags": operation["tags"],
        "parameters": parameters,
        "body": schema(&operation["requestBody"]),
        "required": operation["requestBody"]["required"],
        "responses": responses.collect::<Map<_, _>>(),
    })
}

fn schema(of: &Value) -> Value {
    of["content"].as_object().and_then(|content| content.values().next()).cloned().unwrap_or_default()
}

#[test]
fn definitions_of_v2_are_upstreams() {
    let registry = Registry::builtin();
    let versions = discovery::listed(&registry);
    let ours = v2::document(&registry, &versions.iter().collect::<Vec<_>>());
    let upstreams = read("swagger.json");
    for (name, definition) in ours["definitions"].as_object().unwrap() {
        let mut theirs = upstreams["definitions"][name].clone();
        if name.ends_with(".DeleteOptions") {
            // Upstream lists the groups that it does not serve, too.
            theirs["x-kubernetes-group-version-kind"] = definition["x-kubernetes-group-version-kind"].clone();
        }
        check(name, definition, &theirs);
    }
    for part in ["info", "security", "securityDefinitions", "swagger"] {
        check(part, &ours[part], &upstreams[part]);
    }
}
