//! How documents are answered: with a tag, by which clients keep them, and never indented.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::{ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Response, StatusCode};
use machinery::Status;
use machinery::gvk::GroupVersion;
use sha2::{Digest, Sha256};

use crate::body::{self, Body};
use crate::call::Call;
use crate::discovery::Listed;
use crate::negotiate;

/// What a document is made of, as far as that can vary while the program runs.
pub(super) type Versions<'a> = [(&'a GroupVersion, &'a Vec<Listed>)];

/// Names of contents that were made before, by what they were made of.
static TAGS: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Names the content that `make` makes of some versions; `form` tells apart what is made of the same. The content is made
/// once per program, so that a client that has it needs nobody to make it again.
pub(super) fn tag(form: &str, versions: &Versions<'_>, make: impl FnOnce() -> Bytes) -> String {
    let inputs = inputs(form, versions);
    let tags = || TAGS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = tags().get(&inputs).cloned();
    known.unwrap_or_else(|| {
        let tag = hex(&Sha256::digest(make()));
        tags().insert(inputs, tag.clone());
        tag
    })
}

fn inputs(form: &str, versions: &Versions<'_>) -> String {
    let mut digest = Sha256::new();
    digest.update(form);
    for (version, resources) in versions {
        digest.update(version.to_string());
        for resource in *resources {
            digest.update(format!("{} {} {:?}\n", resource.name, resource.kind, resource.verbs));
        }
    }
    hex(&digest.finalize())
}

/// What a client accepts of some media types; of these come with each what it is answered as. The first is everybody's who
/// does not care.
pub(super) fn negotiate<'a>(call: &Call, served: &[(&str, &'a str)]) -> Result<&'a str, Status> {
    let header = if call.accept().is_empty() { "*/*" } else { call.accept() };
    let found = negotiate::clauses(header).iter().find_map(|clause| {
        served.iter().find(|(media, _)| clause.meets(media)).map(|(_, answered)| *answered)
    });
    let media_types = || served.iter().map(|(media, _)| *media).collect::<Vec<_>>();
    found.ok_or_else(|| Status::not_acceptable(&media_types()))
}

/// Answers the document, or 304 where the client has it.
pub(super) fn document(
    call: &Call,
    content_type: &'static str,
    tag: &str,
    make: impl FnOnce() -> Bytes,
) -> Response<Body> {
    let mut response = if is_known(call, tag) {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let bytes = make();
        let size = bytes.len();
        negotiate::stream(call, body::full(bytes), size, content_type)
    };
    set(&mut response, ETAG, &format!("\"{tag}\""));
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    response
}

fn is_known(call: &Call, tag: &str) -> bool {
    let headers = call.parts.headers.get_all(IF_NONE_MATCH).iter();
    let tags = headers.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tags.map(|own| own.trim().trim_start_matches("W/").trim_matches('"')).any(|own| own == tag || own == "*")
}

/// Sets a header to text of which we know that it is one line of ASCII.
pub(super) fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("made of hex digits, dates and media types");
    response.headers_mut().insert(name, value);
}

/// Bytes as upstream writes hashes.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}
