//! `/openapi/v2`: the same document for all groups, in the older form, as JSON or in protobuf.
//!
//! kubectl asks for it in protobuf where it finds a kind in no document of v3.

use bytes::Bytes;
use http::Response;
use machinery::Status;
use serde_json::{Map, Value, json};

use super::answer::{self, Versions};
use super::{gnostic, v3};
use crate::body::Body;
use crate::call::Call;
use crate::discovery;
use crate::negotiate::JSON;
use crate::registry::Registry;

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The name by which clients ask for it; no media type may have an `@`.
const PROTOBUF_DEPRECATED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Serves the document.
pub(crate) fn answer(call: &Call) -> Result<Response<Body>, Status> {
    let served = [(JSON, JSON), (PROTOBUF_DEPRECATED, PROTOBUF), (PROTOBUF, PROTOBUF)];
    let content_type = answer::negotiate(call, &served)?;
    let registry = &call.server.registry;
    let versions = discovery::listed(registry);
    let versions: Vec<_> = versions.iter().collect();
    let make = |content_type| bytes(&document(registry, &versions), content_type);
    // Both forms have one tag, since the answer varies by `Accept`.
    let tag = answer::tag("v2", &versions, || make(JSON));
    Ok(answer::document(call, content_type, &tag, || make(content_type)))
}

fn bytes(document: &Value, content_type: &str) -> Bytes {
    if content_type == PROTOBUF { gnostic::encode(document).into() } else { document.to_string().into() }
}

/// The document of some groups and versions.
pub(super) fn document(registry: &Registry, versions: &Versions<'_>) -> Value {
    swagger(v3::document(registry, versions))
}

fn swagger(mut v3: Value) -> Value {
    let mut definitions = v3["components"]["schemas"].take();
    definitions.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(older_schema);
    let mut paths = v3["paths"].take();
    for item in paths.as_object_mut().into_iter().flat_map(Map::values_mut) {
        for (name, part) in item.as_object_mut().into_iter().flatten() {
            match name.as_str() {
                "parameters" => flatten_parameters(part),
                _ => operation(part),
            }
        }
    }
    json!({
        "swagger": "2.0",
        "info": v3["info"].take(),
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": v3["components"]["securitySchemes"].take(),
        "security": [{"BearerToken": []}],
    })
}

/// Bodies become parameters, and media types move from the contents to the operation.
fn operation(operation: &mut Value) {
    if let Some(parameters) = operation.get_mut("parameters") {
        flatten_parameters(parameters);
    }
    let fields = operation.as_object_mut().expect("an operation is an object");
    fields.insert("schemes".to_owned(), json!(["https"]));
    fields.insert("consumes".to_owned(), json!(["*/*"]));
    if let Some(mut body) = fields.remove("requestBody") {
        let (consumes, schema) = content(&mut body);
        body["name"] = "body".into();
        body["in"] = "body".into();
        body["schema"] = schema;
        fields.insert("consumes".to_owned(), consumes);
        let parameters = fields.entry("parameters").or_insert_with(|| json!([]));
        parameters.as_array_mut().expect("parameters are a list").insert(0, body);
    }
    let responses = fields.get_mut("responses").and_then(Value::as_object_mut).expect("operations answer");
    let mut produces = json!([]);
    for response in responses.values_mut().filter(|response| response.get("content").is_some()) {
        let schema;
        (produces, schema) = content(response);
        response["schema"] = schema;
    }
    fields.insert("produces".to_owned(), produces);
}

/// Takes the content out of what has one: its media types, and the schema that they share.
fn content(of: &mut Value) -> (Value, Value) {
    let content = of.as_object_mut().and_then(|fields| fields.remove("content")).unwrap_or_default();
    let content = content.as_object().expect("a content is an object");
    let first = content.values().next().expect("a content has a media type");
    let mut schema = first["schema"].clone();
    older_schema(&mut schema);
    (content.keys().cloned().collect(), schema)
}

/// The schema of a parameter stands in the parameter itself.
fn flatten_parameters(parameters: &mut Value) {
    for parameter in parameters.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(Value::Object(schema)) = parameter.remove("schema") {
            parameter.extend(schema);
        }
    }
}

/// References point to `definitions` and stand beside their siblings instead of in an `allOf`; what may be one of several
/// types is a string; there are no defaults.
fn older_schema(schema: &mut Value) {
    let fields = schema.as_object_mut().expect("a schema is an object");
    if let Some(Value::Array(all)) = fields.remove("allOf") {
        fields.extend(all.into_iter().filter_map(|one| one.as_object().cloned()).flatten());
    }
    if fields.remove("oneOf").is_some() {
        fields.insert("type".to_owned(), "string".into());
    }
    fields.remove("default");
    if let Some(Value::String(target)) = fields.get_mut("$ref") {
        *target = target.replace("#/components/schemas/", "#/definitions/");
    }
    for name in ["additionalProperties", "items"] {
        fields.get_mut(name).into_iter().for_each(older_schema);
    }
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).for_each(older_schema);
}
