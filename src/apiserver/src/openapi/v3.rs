//! `/openapi/v3`: the index, and a document per group and version.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, EXPIRES, LOCATION};
use http::{Response, StatusCode};
use k8s_openapi::jiff::{Span, Timestamp, tz::TimeZone};
use machinery::Status;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::schema;
use serde_json::{Map, Value, json};

use super::answer::{self, Versions};
use super::descriptions::Descriptions;
use super::paths::{self, Paths};
use super::schemas::Schemas;
use crate::body::{self, Body};
use crate::call::Call;
use crate::discovery::{self, Listed};
use crate::negotiate::JSON;
use crate::registry::Registry;

/// Serves the index where `path` is empty, else the document of that path (`api/v1`, `apis/apps/v1`).
pub(crate) fn answer(call: &Call, path: &[&str]) -> Result<Response<Body>, Status> {
    let registry = &call.server.registry;
    let versions = discovery::listed(registry);
    if path.is_empty() {
        let make = || Bytes::from(index(registry, &versions).to_string());
        let tag = answer::tag("v3 index", &versions.iter().collect::<Vec<_>>(), make);
        return Ok(answer::document(call, JSON, &tag, make));
    }
    let path = format!("/{}", path.join("/"));
    let found = versions.iter().find(|(version, _)| paths::root(version) == path);
    let Some(found) = found else { return Ok(nothing()) };
    let content_type = answer::negotiate(call, &[(JSON, JSON)])?;
    let tag = tag(registry, found);
    let hash = call.query.text("hash");
    if !hash.is_empty() && hash != tag {
        return Ok(moved(&url(found.0, &tag)));
    }
    let mut response = answer::document(call, content_type, &tag, || bytes(registry, found));
    if !hash.is_empty() {
        keep_forever(call, &mut response);
    }
    Ok(response)
}

/// 404 without a word, as upstream.
fn nothing() -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// What stands under a hash never changes.
fn keep_forever(call: &Call, response: &mut Response<Body>) {
    answer::set(response, CACHE_CONTROL, "public, immutable");
    let date = in_a_year(call.now).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    answer::set(response, EXPIRES, &date);
}

fn in_a_year(now: Timestamp) -> k8s_openapi::jiff::Zoned {
    now.to_zoned(TimeZone::UTC).saturating_add(Span::new().years(1))
}

fn moved(to: &str) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    answer::set(&mut response, LOCATION, to);
    response
}

fn index(registry: &Registry, versions: &BTreeMap<GroupVersion, Vec<Listed>>) -> Value {
    let paths = versions.iter().map(|one| {
        let path = paths::root(one.0).trim_start_matches('/').to_owned();
        (path, json!({"serverRelativeURL": url(one.0, &tag(registry, one))}))
    });
    json!({"paths": paths.collect::<Map<_, _>>()})
}

fn url(version: &GroupVersion, tag: &str) -> String {
    format!("/openapi/v3{}?hash={tag}", paths::root(version))
}

fn tag(registry: &Registry, of: (&GroupVersion, &Vec<Listed>)) -> String {
    answer::tag("v3", &[of], || bytes(registry, of))
}

fn bytes(registry: &Registry, of: (&GroupVersion, &Vec<Listed>)) -> Bytes {
    document(registry, &[of]).to_string().into()
}

/// The document of some groups and versions.
pub(super) fn document(registry: &Registry, versions: &Versions<'_>) -> Value {
    let (descriptions, kinds) = (Descriptions::load(), kinds(registry, versions));
    let index = descriptions.index();
    let mut schemas = Schemas::new(&index, &kinds);
    let mut all = Map::new();
    for (version, resources) in versions {
        let Paths { paths, types } = Paths::of(version, resources);
        all.extend(paths);
        for name in types {
            schemas.add(&name);
        }
    }
    let token = json!({
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
        "description": "Bearer Token authentication",
    });
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": all,
        "components": {"schemas": schemas.into_inner(), "securitySchemes": {"BearerToken": token}},
    })
}

/// The types that are kinds or lists of kinds served, and the kinds that each of them is: options of a deletion are one in
/// every group.
fn kinds(registry: &Registry, versions: &Versions<'_>) -> BTreeMap<&'static str, Value> {
    let served = registry.kinds().iter().flat_map(|kind| {
        let own = &kind.gvk;
        [own.clone(), GroupVersionKind::new(&*own.group, &*own.version, &*kind.list_kind)]
    });
    let core = GroupVersion::new("", "v1");
    let options = versions.iter().map(|(version, _)| *version).chain([&core]);
    let options = options.map(|version| version.with_kind("DeleteOptions"));
    let parts = [
        ("", "APIResourceList"),
        ("", "Binding"),
        ("", "Status"),
        ("authentication.k8s.io", "TokenRequest"),
        ("autoscaling", "Scale"),
        ("policy", "Eviction"),
    ];
    let parts = parts.map(|(group, kind)| GroupVersionKind::new(group, "v1", kind));
    let mut kinds: BTreeMap<&str, BTreeSet<GroupVersionKind>> = BTreeMap::new();
    for kind in served.chain(options).chain(parts) {
        if let Some(found) = schema::of(&kind) {
            kinds.entry(found.name).or_default().insert(kind);
        }
    }
    kinds.into_iter().map(|(name, all)| (name, all.iter().map(paths::kind_json).collect())).collect()
}
