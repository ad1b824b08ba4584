//! `apidiscovery.k8s.io/v2` APIGroupDiscoveryList: everything in one document.

use std::collections::BTreeMap;

use machinery::gvk::GroupVersion;
use serde_json::{Map, Value, json};

use super::Listed;

/// The document for `/api` (`core`) or `/apis`.
pub(super) fn document(versions: &BTreeMap<GroupVersion, Vec<Listed>>, core: bool) -> Value {
    let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (version, resources) in versions.iter().filter(|(version, _)| version.group.is_empty() == core) {
        let document = json!({
            "version": version.version,
            "resources": self::resources(version, resources),
            "freshness": "Current",
        });
        groups.entry(&version.group).or_default().push(document);
    }
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

/// Resources, each with its subresources.
fn resources(version: &GroupVersion, listed: &[Listed]) -> Vec<Value> {
    listed
        .iter()
        .filter(|one| !one.name.contains('/'))
        .map(|one| {
            let prefix = format!("{}/", one.name);
            let subresources: Vec<Value> = listed
                .iter()
                .filter_map(|other| Some((other.name.strip_prefix(&prefix)?, other)))
                .map(|(name, other)| {
                    json!({ "subresource": name, "responseKind": kind(version, other), "verbs": other.verbs })
                })
                .collect();
            let mut fields = Map::new();
            fields.insert("resource".to_owned(), json!(one.name));
            fields.insert("responseKind".to_owned(), kind(version, one));
            fields.insert("scope".to_owned(), json!(if one.namespaced { "Namespaced" } else { "Cluster" }));
            fields.insert("singularResource".to_owned(), json!(one.singular));
            fields.insert("verbs".to_owned(), json!(one.verbs));
            for (key, list) in [("shortNames", &one.short_names), ("categories", &one.categories)] {
                if !list.is_empty() {
                    fields.insert(key.to_owned(), json!(list));
                }
            }
            if !subresources.is_empty() {
                fields.insert("subresources".to_owned(), json!(subresources));
            }
            Value::Object(fields)
        })
        .collect()
}

/// The kind of an answer; group and version are left out where they are the resource's own.
fn kind(own: &GroupVersion, listed: &Listed) -> Value {
    let kind = &listed.kind;
    let (group, version) =
        if kind.group_version() == *own { ("", "") } else { (kind.group.as_str(), kind.version.as_str()) };
    json!({ "group": group, "version": version, "kind": kind.kind })
}
