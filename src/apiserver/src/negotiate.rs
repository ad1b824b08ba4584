//! From the `Accept` header to an encoding and a shape, and from bytes to an answer in them.
//!
//! Handlers ask for an [`Accept`] before they work, and give JSON bytes when they are done. Stored bytes pass through
//! untouched unless the client wants another encoding, indentation or compression.

mod accept;
mod binary;
mod forms;
mod gzip;
mod pretty;
mod shape;
mod warnings;

use api::Descriptor;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT, VARY};
use http::{Request, Response, StatusCode, Uri};
use machinery::status::Details;
use machinery::{Status, gvk, json, protobuf, schema};

use accept::Subject;

use crate::body::{self, Body};
use crate::call::{Call, Warnings};
use crate::query::Query;

pub(crate) use accept::{Accept, Encoding, Shape, clauses};
pub(crate) use forms::{FormKey, Forms, Moment};
pub(crate) use shape::Shaper;

pub(crate) const JSON: &str = "application/json";
pub(crate) const YAML: &str = "application/yaml";
pub(crate) const PROTOBUF: &str = protobuf::MEDIA_TYPE;

/// Upstream's threshold for compressing an answer.
const COMPRESS_FROM: usize = 128 * 1024;

/// What a request says of how it is to be answered, kept for the case that everything else fails.
pub(crate) struct Wishes {
    accept: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    uri: Uri,
}

impl Wishes {
    pub(crate) fn of(request: &Request<Body>) -> Wishes {
        let header = |name| request.headers().get(name).cloned();
        Wishes { accept: header(ACCEPT), user_agent: header(USER_AGENT), uri: request.uri().clone() }
    }

    fn accept(&self) -> &str {
        text_of(self.accept.as_ref())
    }

    fn is_pretty(&self) -> bool {
        is_pretty(&Query::parse(self.uri.query()), text_of(self.user_agent.as_ref()))
    }
}

fn text_of(header: Option<&HeaderValue>) -> &str {
    header.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether JSON is to be indented: `?pretty`, or what a human's client wants where it says nothing.
pub(crate) fn is_pretty(query: &Query, user_agent: &str) -> bool {
    match query.text("pretty") {
        "" => ["curl", "Wget", "Mozilla/5.0"].iter().any(|known| user_agent.starts_with(known)),
        text => matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"),
    }
}

/// An answer of one JSON document.
pub(crate) fn document(call: &Call, accept: &Accept, code: StatusCode, json: Bytes) -> Response<Body> {
    let (bytes, encoding) = match accept.encoding {
        Encoding::Json if call.is_pretty() || accept.pretty => (pretty::indented(&json), Encoding::Json),
        encoding => encoded(json, encoding),
    };
    answer(call, code, bytes, encoding)
}

/// An answer of an object or list as a [`Shaper`] for the same `accept` gives it.
pub(crate) fn shaped(call: &Call, accept: &Accept, code: StatusCode, bytes: Bytes) -> Response<Body> {
    match accept.encoding {
        Encoding::Protobuf => answer(call, code, bytes, Encoding::Protobuf),
        _ => document(call, accept, code, bytes),
    }
}

fn answer(call: &Call, code: StatusCode, bytes: Bytes, encoding: Encoding) -> Response<Body> {
    let mut response = if call.accepts_gzip() && bytes.len() > COMPRESS_FROM {
        let mut response = Response::new(body::full(gzip::compressed(&bytes)));
        mark_compressed(&mut response);
        response
    } else {
        Response::new(body::full(bytes))
    };
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    warnings::add(call.warnings.take(), response.headers_mut());
    response
}

/// An answer that is made while it is sent. `size` is how large it will be, as far as that is known.
pub(crate) fn stream(call: &Call, body: Body, size: usize, content_type: &'static str) -> Response<Body> {
    let mut response = if call.accepts_gzip() && size > COMPRESS_FROM {
        let mut response = Response::new(gzip::compressing(body));
        mark_compressed(&mut response);
        response
    } else {
        Response::new(body)
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    warnings::add(call.warnings.take(), response.headers_mut());
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

/// 404 where nothing of the API begins: in words, as upstream's outermost router has it.
pub(crate) fn page_not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// A `Status` as an answer; in indented JSON where the client accepts nothing that is served, as upstream.
pub(crate) fn failure(status: &Status, wishes: &Wishes, unsent: &Warnings) -> Response<Body> {
    let accept = accept::plain(wishes.accept()).unwrap_or(Accept {
        encoding: Encoding::Json,
        shape: Shape::Object,
        pretty: true,
    });
    let (bytes, encoding) = in_encoding(status, accept.encoding);
    let bytes = match encoding {
        Encoding::Json if accept.pretty || wishes.is_pretty() => pretty::indented(&bytes),
        _ => bytes,
    };
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    warnings::add(unsent.take(), headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    if let Some(seconds) = status.retry_after_seconds() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A `Status` in an encoding.
pub(crate) fn in_encoding(status: &Status, encoding: Encoding) -> (Bytes, Encoding) {
    encoded(status.to_json().into(), encoding)
}

/// Upstream's router looks at `Accept` first, and more narrowly than what it leads to: a range must name one of the media
/// types to the letter, or be `*/*`; parameters do not count.
///
/// # Errors
/// 406 where none does.
pub(crate) fn check_route(call: &Call) -> Result<(), Status> {
    let streams = if matches!(&*call.info.verb, "list" | "watch") { &accept::STREAMS[..] } else { &[] };
    let served: Vec<&str> = [JSON, YAML, PROTOBUF].iter().chain(streams).copied().collect();
    check_served(call, &served)
}

/// The same where only these media types are served.
pub(crate) fn check_served(call: &Call, served: &[&str]) -> Result<(), Status> {
    let ranges = call.accept().split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
    if call.accept().is_empty() || ranges.into_iter().any(|range| range == "*/*" || served.contains(&range)) {
        return Ok(());
    }
    let why = format!("406: Not Acceptable\n\nAvailable representations: {}", served.join(", "));
    Err(Status::not_acceptable_because(why).with_details(Details::default()))
}

/// What a resource's answers may look like: objects, tables, metadata alone.
pub(crate) fn resource(call: &Call, kind: &Descriptor) -> Result<Accept, Status> {
    let include = call.query.text("includeObject");
    accept::resource(call.accept(), include, Subject::Object, || go_name(kind, &kind.gvk.kind))
}

/// The same for lists.
pub(crate) fn list(call: &Call, kind: &Descriptor) -> Result<Accept, Status> {
    let include = call.query.text("includeObject");
    accept::resource(call.accept(), include, Subject::List, || go_name(kind, &kind.list_kind))
}

/// The same for watches, whose events are objects, and the media type of the stream.
pub(crate) fn watch(call: &Call, kind: &Descriptor) -> Result<(Accept, &'static str), Status> {
    let accept = resource(call, kind)?;
    let stream_type =
        accept.encoding.stream_type().ok_or_else(|| Status::not_acceptable(&accept::STREAMS))?;
    Ok((accept, stream_type))
}

/// What answers may look like that cannot be transformed.
pub(crate) fn plain(call: &Call) -> Result<Accept, Status> {
    accept::plain(call.accept())
}

/// What upstream calls a type of its own version, e.g. `*rbac.Role`.
fn go_name(kind: &Descriptor, name: &str) -> String {
    let package = match kind.gvk.group.split('.').next() {
        Some("") | None => "core",
        Some(package) => package,
    };
    format!("*{package}.{name}")
}

fn mark_compressed(response: &mut Response<Body>) {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// A JSON document in an encoding. Protobuf has only objects: the version, paths and OpenAPI stay JSON, as upstream's do.
fn encoded(json: Bytes, encoding: Encoding) -> (Bytes, Encoding) {
    match encoding {
        Encoding::Json => (json, Encoding::Json),
        Encoding::Yaml => (yaml(&json), Encoding::Yaml),
        Encoding::Protobuf => match in_protobuf(&json) {
            Some(bytes) => (bytes, Encoding::Protobuf),
            None => (json, Encoding::Json),
        },
    }
}

/// A JSON document in protobuf, if it is an object of a kind that has such a form.
fn in_protobuf(json: &[u8]) -> Option<Bytes> {
    let tree = json::parse(json).expect("the server writes only valid JSON").tree;
    let text = |name: &str| tree.get(name).and_then(json::Tree::as_str);
    // The plain discovery documents say no version.
    let version = text("apiVersion").unwrap_or("v1");
    let kind = gvk::GroupVersion::parse(version).ok()?.with_kind(text("kind")?);
    let of = schema::of(&kind).filter(|of| protobuf::has_form(of))?;
    Some(protobuf::encode(&tree, of, &kind).into())
}

/// JSON as YAML, keys sorted as upstream's.
fn yaml(json: &[u8]) -> Bytes {
    let value: serde_json::Value = serde_json::from_slice(json).expect("the server writes only valid JSON");
    Bytes::from(serde_saphyr::to_string(&value).expect("every JSON value has a YAML form"))
}
