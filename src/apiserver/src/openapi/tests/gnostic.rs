//! One small document that has every message, beside what gnostic itself makes of it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::super::{gnostic, v2};
use crate::discovery;
use crate::registry::Registry;

/// `proto.Marshal(openapi_v2.ParseDocument(…))` of gnostic-models v0.7.0, for the document below.
const EXPECTED: &str = "\
    CgMyLjASBgoBVBIBdkLeARLbAQoJL2Eve25hbWV9Es0BEqwBKgFvQiUKIwohEgRib2R5GgRib2R5IAEqEQoPIy9kZWZpbml0aW9u\
    cy9BQhsKGRIXGhUSBXF1ZXJ5IgFxMgZzdHJpbmegAQFKHgocCgMyMDASFQoTCgJPSxINCguyAQgKBnN0cmluZ2pDCh94LWt1YmVy\
    bmV0ZXMtZ3JvdXAtdmVyc2lvbi1raW5kEiASHmdyb3VwOiAiIgpraW5kOiBBCnZlcnNpb246IHYxCkocChoSGCIWCAESBHBhdGgi\
    BG5hbWUqBnN0cmluZ0qKAQqHAQoBQRKBAZoBAWyyAQgKBm9iamVjdMoBSgomCgFsEiGyAQcKBWFycmF5ugEUChKiAQQSAngKsgEI\
    CgZzdHJpbmcKIAoBbRIbqgENCguyAQgKBnN0cmluZ7IBCAoGb2JqZWN0+gEiChV4LWt1YmVybmV0ZXMtbWFwLXR5cGUSCRIHYXRv\
    bWljCmIHCgUKAUISAGocChoKAUISFRITCgZhcGlLZXkSAW4aBmhlYWRlcg==";

#[test]
fn a_document_is_written_as_gnostic_writes_it() {
    let read = json!({
        "operationId": "o",
        "parameters": [
            {"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/A"}},
            {"name": "q", "in": "query", "type": "string", "uniqueItems": true},
        ],
        "responses": {"200": {"description": "OK", "schema": {"type": "string"}}},
        "x-kubernetes-group-version-kind": {"group": "", "kind": "A", "version": "v1"},
    });
    let definition = json!({
        "type": "object",
        "required": ["l"],
        "properties": {
            "l": {"type": "array", "items": {"type": "string", "enum": ["x"]}},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "x-kubernetes-map-type": "atomic",
    });
    let name = json!({"name": "name", "in": "path", "required": true, "type": "string"});
    let document = json!({
        "swagger": "2.0",
        "info": {"title": "T", "version": "v"},
        "paths": {"/a/{name}": {"get": read, "parameters": [name]}},
        "definitions": {"A": definition},
        "security": [{"B": []}],
        "securityDefinitions": {"B": {"type": "apiKey", "name": "n", "in": "header"}},
    });
    assert_eq!(BASE64_STANDARD.encode(gnostic::encode(&document)), EXPECTED);
}

#[test]
fn our_document_has_a_place_in_protobuf_for_everything() {
    let registry = Registry::builtin();
    let versions = discovery::listed(&registry);
    let document = v2::document(&registry, &versions.iter().collect::<Vec<_>>());
    assert!(gnostic::encode(&document).len() > 100_000);
}
