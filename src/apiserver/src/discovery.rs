//! Which groups, versions and resources there are: the plain documents (`/api`, `/apis`, …) and the aggregated one.
//!
//! Every document is made once, when the server is, since the registry does not change. The aggregated documents carry an
//! `ETag`, by which kubectl keeps its cache.

mod aggregated;
mod plain;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{Response, StatusCode};
use machinery::Status;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::body::{self, Body};
use crate::call::Call;
use crate::negotiate;
use crate::registry::Registry;
use crate::special;

/// The documents.
pub(crate) struct Discovery {
    /// By path: `api`, `apis`, `apis/apps`, `api/v1`, `apis/apps/v1`.
    plain: BTreeMap<String, Bytes>,
    /// By path (`api`, `apis`).
    aggregated: BTreeMap<&'static str, Aggregated>,
}

struct Aggregated {
    json: Bytes,
    etag: HeaderValue,
}

const AGGREGATED_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// One resource or subresource as both forms show it.
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) singular: String,
    pub(crate) namespaced: bool,
    /// Group, version and kind of what is sent and answered.
    pub(crate) kind: GroupVersionKind,
    /// The kind that is stored.
    pub(crate) storage: GroupVersionKind,
    pub(crate) verbs: Vec<String>,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// Whether a delete may answer with the object that is gone.
    pub(crate) returns_deleted: bool,
}

impl Discovery {
    /// Makes the documents.
    pub(crate) fn of(registry: &Registry, advertise: SocketAddr) -> Discovery {
        let versions = listed(registry);
        let aggregated = |core: bool| {
            let json = bytes(&aggregated::document(&versions, core));
            let etag = format!(
                "\"{}\"",
                Sha256::digest(&json).iter().map(|b| format!("{b:02X}")).collect::<String>()
            );
            Aggregated { json, etag: HeaderValue::from_str(&etag).expect("hex digits are a header value") }
        };
        Discovery {
            aggregated: BTreeMap::from([("api", aggregated(true)), ("apis", aggregated(false))]),
            plain: plain::documents(&versions, advertise)
                .into_iter()
                .map(|(path, json)| (path, bytes(&json)))
                .collect(),
        }
    }
}

/// Every group and version with its resources and subresources, sorted by name.
pub(crate) fn listed(registry: &Registry) -> BTreeMap<GroupVersion, Vec<Listed>> {
    let mut versions: BTreeMap<GroupVersion, Vec<Listed>> = BTreeMap::new();
    for kind in registry.kinds() {
        let version = versions.entry(kind.resource.group_version()).or_default();
        version.push(Listed {
            name: kind.resource.resource.clone(),
            singular: kind.singular.clone(),
            namespaced: kind.namespaced,
            kind: kind.gvk.clone(),
            storage: kind.stored_as.clone(),
            verbs: kind.verbs.clone(),
            short_names: kind.short_names.clone(),
            categories: kind.categories.clone(),
            returns_deleted: kind.returns_deleted,
        });
        version.extend(special::subresources(kind));
    }
    for list in versions.values_mut() {
        list.sort_by(|a, b| a.name.cmp(&b.name));
    }
    versions
}

fn bytes(json: &Value) -> Bytes {
    Bytes::from(json.to_string())
}

/// Answers a path that is no resource: a discovery document, the list of paths, or 404.
pub(crate) fn answer(call: &Call, path: &[&str]) -> Result<Response<Body>, Status> {
    let discovery = &call.server.discovery;
    let path = path.join("/");
    if matches!(path.as_str(), "" | "index.html") {
        return paths(call);
    }
    if let Some(document) = discovery.aggregated.get(path.as_str()).filter(|_| wants_aggregated(call)) {
        return Ok(aggregated_answer(call, document));
    }
    let Some(json) = discovery.plain.get(&path).cloned() else { return nothing_here(call) };
    // The list of groups is upstream's aggregator's, which has no such router.
    if path != "apis" {
        negotiate::check_route(call)?;
    }
    let accept = negotiate::plain(call)?;
    Ok(negotiate::document(call, &accept, StatusCode::OK, json))
}

/// Whether there is a document at a path.
pub(crate) fn has(call: &Call, path: &[&str]) -> bool {
    call.server.discovery.plain.contains_key(&path.join("/"))
}

/// 404: an object where a group that is served begins the path, words anywhere else.
pub(crate) fn nothing_here(call: &Call) -> Result<Response<Body>, Status> {
    let pieces: Vec<&str> = call.info.path.trim_matches('/').split('/').take(2).collect();
    let is_served = match pieces.as_slice() {
        ["api", ..] | ["apis"] => true,
        group @ ["apis", _] => has(call, group),
        _ => false,
    };
    if is_served { Err(Status::page_not_found()) } else { Ok(negotiate::page_not_found()) }
}

/// Whether the client's favourite among what is served is the aggregated form.
fn wants_aggregated(call: &Call) -> bool {
    let clauses = negotiate::clauses(call.accept());
    let served = clauses.iter().find_map(|clause| {
        let target = (clause.parameter("g"), clause.parameter("v"), clause.parameter("as"));
        let is_json = clause.meets(negotiate::JSON);
        match target {
            ("apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList") if is_json => Some(true),
            ("", "", "") if is_json || clause.meets(negotiate::YAML) => Some(false),
            _ => None,
        }
    });
    served.unwrap_or(false)
}

fn aggregated_answer(call: &Call, document: &Aggregated) -> Response<Body> {
    let known = call.parts.headers.get_all(IF_NONE_MATCH).iter().any(|tag| *tag == document.etag);
    let mut response = if known {
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let accept = negotiate::Accept {
            encoding: negotiate::Encoding::Json,
            shape: negotiate::Shape::Object,
            pretty: false,
        };
        negotiate::document(call, &accept, StatusCode::OK, document.json.clone())
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED_TYPE));
    headers.insert(ETAG, document.etag.clone());
    headers.append(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}

/// What is served beside the discovery documents.
const OTHER_PATHS: [&str; 9] = [
    "/.well-known/openid-configuration",
    "/healthz",
    "/livez",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/metrics",
    "/readyz",
    "/version",
];

fn paths(call: &Call) -> Result<Response<Body>, Status> {
    let accept = negotiate::plain(call)?;
    let mut paths: Vec<String> = call.server.discovery.plain.keys().map(|path| format!("/{path}")).collect();
    paths.extend(OTHER_PATHS.map(str::to_owned));
    paths.sort_unstable();
    let json = bytes(&serde_json::json!({ "paths": paths }));
    Ok(negotiate::document(call, &negotiate::Accept { pretty: true, ..accept }, StatusCode::OK, json))
}
