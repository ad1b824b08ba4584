//! `APIVersions`, `APIGroupList`, `APIGroup` and `APIResourceList`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use machinery::gvk::GroupVersion;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Listed;

type Versions = BTreeMap<GroupVersion, Vec<Listed>>;

/// Every document by its path.
pub(super) fn documents(versions: &Versions, advertise: SocketAddr) -> Vec<(String, Value)> {
    let mut documents =
        vec![("api".to_owned(), api_versions(advertise)), ("apis".to_owned(), group_list(versions))];
    for group in groups(versions) {
        documents.push((format!("apis/{group}"), with_kind("APIGroup", api_group(versions, group))));
    }
    for (version, resources) in versions {
        let path =
            if version.group.is_empty() { format!("api/{version}") } else { format!("apis/{version}") };
        documents.push((path, resource_list(version, resources)));
    }
    documents
}

/// Every client is told the one address there is.
fn api_versions(advertise: SocketAddr) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": advertise.to_string() }],
    })
}

/// The named groups; the core group has a root of its own.
fn groups(versions: &Versions) -> Vec<&str> {
    let mut groups: Vec<&str> =
        versions.keys().map(|version| version.group.as_str()).filter(|group| !group.is_empty()).collect();
    groups.dedup();
    groups
}

fn group_list(versions: &Versions) -> Value {
    let groups: Vec<Value> = groups(versions).into_iter().map(|group| api_group(versions, group)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

fn api_group(versions: &Versions, group: &str) -> Value {
    let versions: Vec<Value> = versions
        .keys()
        .filter(|version| version.group == group)
        .map(|version| json!({ "groupVersion": version.to_string(), "version": version.version }))
        .collect();
    json!({ "name": group, "versions": versions, "preferredVersion": versions.first() })
}

fn with_kind(kind: &str, document: Value) -> Value {
    let Value::Object(mut fields) = document else { return document };
    fields.insert("kind".to_owned(), json!(kind));
    fields.insert("apiVersion".to_owned(), json!("v1"));
    Value::Object(fields)
}

fn resource_list(version: &GroupVersion, resources: &[Listed]) -> Value {
    let resources: Vec<Value> = resources.iter().map(|listed| resource(version, listed)).collect();
    let mut list = json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version.to_string(),
        "resources": resources,
    });
    if let Some(fields) = list.as_object_mut().filter(|_| version.group.is_empty()) {
        // Upstream's list of the core group has none.
        fields.remove("apiVersion");
    }
    list
}

fn resource(version: &GroupVersion, listed: &Listed) -> Value {
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| {
        fields.insert(key.to_owned(), value);
    };
    set("name", json!(listed.name));
    set("singularName", json!(listed.singular));
    set("namespaced", json!(listed.namespaced));
    set("kind", json!(listed.kind.kind));
    set("verbs", json!(listed.verbs));
    if listed.kind.group_version() != *version {
        set("group", json!(listed.kind.group));
        set("version", json!(listed.kind.version));
    }
    if !listed.short_names.is_empty() {
        set("shortNames", json!(listed.short_names));
    }
    if !listed.categories.is_empty() {
        set("categories", json!(listed.categories));
    }
    if listed.verbs.iter().any(|verb| verb == "list") {
        set("storageVersionHash", json!(storage_version_hash(listed)));
    }
    Value::Object(fields)
}

/// Opaque to clients: changes when the stored version does (upstream `discovery.StorageVersionHash`).
fn storage_version_hash(listed: &Listed) -> String {
    let kind = &listed.storage;
    let text = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
    STANDARD.encode(&Sha256::digest(text.as_bytes())[..8])
}
