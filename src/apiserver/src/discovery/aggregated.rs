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
            "resources": self::resources(resources),
            "freshness": "Current",
        });
        groups.entry(&version.group).or_default().push(document);
    }
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let metadata = if group.is_empty() {
                json!({ "creationTimestamp": null })
            } else {
                json!({ "name": group, "creationTimestamp": null })
            };
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
fn resources(listed: &[Listed]) -> Vec<Value> {
    listed
        .iter()
        .filter(|one| !one.name.contains('/'))
        .map(|one| {
            let prefix = format!("{}/", one.name);
            let subresources: Vec<Value> = listed
                .iter()
                .filter_map(|other| Some((other.name.strip_prefix(&prefix)?, other)))
                .map(|(name, other)| {
                    json!({ "subresource": name, "responseKind": kind(other), "verbs": other.verbs })
                })
                .collect();
            let mut fields = Map::new();
            fields.insert("resource".to_owned(), json!(one.name));
            fields.insert("responseKind".to_owned(), kind(one));
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

fn kind(listed: &Listed) -> Value {
    json!({ "group": listed.kind.group, "version": listed.kind.version, "kind": listed.kind.kind })
}
