//! What others need to verify service account tokens: the OpenID configuration and the public key.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use machinery::Status;
use serde_json::{Value, json};

use crate::body::Body;
use crate::call::Call;
use crate::negotiate;

/// `/.well-known/openid-configuration`.
pub(crate) fn configuration(call: &Call) -> Result<Response<Body>, Status> {
    let tokens = &call.server.tokens;
    let algorithm = tokens.public_key().common.key_algorithm;
    let document = json!({
        "issuer": tokens.issuer(),
        "jwks_uri": format!("https://{}/openid/v1/jwks", call.server.advertise),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
    });
    Ok(answer(&document, "application/json"))
}

/// `/openid/v1/jwks`.
pub(crate) fn keys(call: &Call) -> Result<Response<Body>, Status> {
    let key = serde_json::to_value(call.server.tokens.public_key()).map_err(Status::internal)?;
    let mut key = key;
    key["use"] = Value::from("sig");
    Ok(answer(&json!({ "keys": [key] }), "application/jwk-set+json"))
}

fn answer(document: &Value, content_type: &'static str) -> Response<Body> {
    let mut response = negotiate::text(StatusCode::OK, document.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
