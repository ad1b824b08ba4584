//! The parameters that operations take in the path and in the query.

use machinery::schema::{self, Shape};
use serde_json::{Value, json};

/// A parameter's name and its type.
type Named = (&'static str, &'static str);

/// Verbs and what they read from the query.
const BY_VERB: &[(&[&str], &[Named])] = &[
    (
        &["create", "patch", "update"],
        &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")],
    ),
    (
        &["delete", "deletecollection"],
        &[
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            ("orphanDependents", "boolean"),
            ("propagationPolicy", "string"),
        ],
    ),
    (
        &["deletecollection", "list"],
        &[
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("timeoutSeconds", "integer"),
        ],
    ),
    (&["list"], &[("allowWatchBookmarks", "boolean"), ("watch", "boolean")]),
];

/// What a verb reads from the query, sorted by name.
pub(super) fn of_verb(verb: &str) -> Vec<Value> {
    let named = BY_VERB.iter().filter(|(verbs, _)| verbs.contains(&verb)).flat_map(|(_, named)| *named);
    let mut all: Vec<Value> = [("pretty", "string")].iter().chain(named).map(|(n, t)| query(n, t)).collect();
    sort(&mut all);
    all
}

/// Options that are sent as a query: their scalar fields, but for the kind.
pub(super) fn of_options(kind: &str) -> Vec<Value> {
    let options = schema::named(&format!("io.k8s.api.core.v1.{kind}")).expect("the facts have all options");
    let fields = options.fields.iter().filter(|field| !matches!(field.name, "kind" | "apiVersion"));
    let mut all: Vec<Value> =
        fields.filter_map(|field| Some(query(field.name, scalar(&field.shape)?))).collect();
    sort(&mut all);
    all
}

/// Lists are repeated parameters, each of them an element.
fn scalar(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::String(_) => Some("string"),
        Shape::Bool => Some("boolean"),
        Shape::Int32 | Shape::Int64 => Some("integer"),
        Shape::List(element, _) => scalar(element),
        _ => None,
    }
}

/// The parts of a path that vary.
pub(super) fn of_path(path: &str) -> Vec<Value> {
    let is_in_path = |name: &&str| path.contains(&format!("{{{name}}}"));
    let names = ["name", "namespace"].into_iter().filter(is_in_path);
    let schema = json!({"type": "string", "uniqueItems": true});
    names.map(|name| json!({"name": name, "in": "path", "required": true, "schema": schema})).collect()
}

/// By name, as upstream lists them.
pub(super) fn sort(parameters: &mut [Value]) {
    parameters.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
}

fn query(name: &str, schema: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": schema, "uniqueItems": true}})
}
