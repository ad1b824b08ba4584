//! From the `Accept` header to an encoding and a shape, and from bytes to an answer in them.
//!
//! Handlers ask for an [`Accept`] before they work, and give JSON bytes when they are done. Stored bytes pass through
//! untouched unless the client wants another encoding, indentation or compression.

mod accept;
mod gzip;
mod pretty;
mod shape;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WARNING};
use http::{Request, Response, StatusCode};
use machinery::{Status, gvk, json, protobuf, schema};

use crate::body::{self, Body};
use crate::call::Call;

pub(crate) use accept::{Accept, Encoding, Shape, clauses};
pub(crate) use shape::Shaper;

pub(crate) const JSON: &str = "application/json";
pub(crate) const YAML: &str = "application/yaml";
pub(crate) const PROTOBUF: &str = protobuf::MEDIA_TYPE;

/// Upstream's threshold for compressing an answer.
const COMPRESS_FROM: usize = 128 * 1024;

/// The `Accept` header of a request, kept for the case that everything else fails.
pub(crate) fn accept_header(request: &Request<Body>) -> String {
    let header = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    header.unwrap_or_default().to_owned()
}

/// An answer of one JSON document.
pub(crate) fn document(call: &Call, accept: &Accept, code: StatusCode, json: Bytes) -> Response<Body> {
    let (bytes, content_type) = match accept.encoding {
        Encoding::Json if call.is_pretty() || accept.pretty => (pretty::indented(&json), JSON),
        encoding => encoded(json, encoding),
    };
    let mut response = if call.accepts_gzip() && bytes.len() > COMPRESS_FROM {
        let mut response = Response::new(body::full(gzip::compressed(&bytes)));
        mark_compressed(&mut response);
        response
    } else {
        Response::new(body::full(bytes))
    };
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    warn(call, &mut response);
    response
}

/// An answer of JSON that is made while it is sent. `size` is how large it will be, as far as that is known.
pub(crate) fn stream(call: &Call, body: Body, size: usize) -> Response<Body> {
    let mut response = if call.accepts_gzip() && size > COMPRESS_FROM {
        let mut response = Response::new(gzip::compressing(body));
        mark_compressed(&mut response);
        response
    } else {
        Response::new(body)
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    warn(call, &mut response);
    response
}

/// A short answer in plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// A `Status` as an answer, in JSON where the client accepts nothing that is served.
pub(crate) fn failure(status: &Status, accept: &str) -> Response<Body> {
    let encoding = accept::plain(accept).map_or(Encoding::Json, |accept| accept.encoding);
    let (bytes, content_type) = encoded(status.to_json().into(), encoding);
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(seconds) = status.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What a resource's answers may look like: objects, tables, metadata alone.
pub(crate) fn resource(call: &Call) -> Result<Accept, Status> {
    accept::resource(call.accept(), call.query.text("includeObject"))
}

/// The same for lists and watches, which are in protobuf only for those who accept nothing else: they are stored in JSON
/// and can be sent as they are.
pub(crate) fn list(call: &Call) -> Result<Accept, Status> {
    accept::list(call.accept(), call.query.text("includeObject"))
}

/// What answers may look like that cannot be transformed.
pub(crate) fn plain(call: &Call) -> Result<Accept, Status> {
    accept::plain(call.accept())
}

fn mark_compressed(response: &mut Response<Body>) {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Adds the call's warnings (RFC 7234 `warn-code` 299).
fn warn(call: &Call, response: &mut Response<Body>) {
    for warning in call.take_warnings() {
        let text: String = warning.chars().filter(|c| !c.is_control()).collect();
        let quoted = format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        match HeaderValue::from_bytes(quoted.as_bytes()) {
            Ok(value) => {
                response.headers_mut().append(WARNING, value);
            }
            Err(error) => tracing::debug!(%error, warning, "a warning cannot be sent"),
        }
    }
}

/// A JSON document in an encoding, and its media type. Protobuf has only objects: the version, paths and OpenAPI stay
/// JSON, as upstream's do.
fn encoded(json: Bytes, encoding: Encoding) -> (Bytes, &'static str) {
    match encoding {
        Encoding::Json => (json, JSON),
        Encoding::Yaml => (yaml(&json), YAML),
        Encoding::Protobuf => match in_protobuf(&json) {
            Some(bytes) => (bytes, PROTOBUF),
            None => (json, JSON),
        },
    }
}

/// A JSON document in protobuf, if it is an object of a kind that has such a form.
fn in_protobuf(json: &[u8]) -> Option<Bytes> {
    let tree = json::parse(json).expect("the server writes only valid JSON").tree;
    let text = |name: &str| tree.get(name).and_then(json::Tree::as_str);
    let kind = gvk::GroupVersion::parse(text("apiVersion")?).ok()?.with_kind(text("kind")?);
    let of = schema::of(&kind).filter(|of| protobuf::has_form(of))?;
    Some(protobuf::encode(&tree, of, &kind).into())
}

/// JSON as YAML, keys sorted as upstream's.
fn yaml(json: &[u8]) -> Bytes {
    let value: serde_json::Value = serde_json::from_slice(json).expect("the server writes only valid JSON");
    Bytes::from(serde_saphyr::to_string(&value).expect("every JSON value has a YAML form"))
}
