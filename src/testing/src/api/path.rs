//! Paths of the API: which collection, which object, which subresource.

use serde_json::Value;

/// What a request's path names.
#[derive(Debug, PartialEq)]
pub(super) struct Path {
    /// `/api/v1/namespaces/a/pods`
    pub(super) collection: String,
    /// `b`
    pub(super) name: Option<String>,
    /// `status`; empty for the object itself.
    pub(super) subresource: String,
}

/// Takes `/api/v1/namespaces/a/pods/b/status` apart.
pub(super) fn parse(path: &str) -> Path {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if parts[0] == "api" { 2 } else { 3 };
    let is_namespaced = parts.get(group) == Some(&"namespaces") && parts.len() > group + 2;
    let end = if is_namespaced { group + 3 } else { group + 1 };
    Path {
        collection: format!("/{}", parts[..end].join("/")),
        name: parts.get(end).map(|name| (*name).to_owned()),
        subresource: parts.get(end + 1).copied().unwrap_or_default().to_owned(),
    }
}

/// The collection that an object belongs to, by its `apiVersion`, `kind` and namespace.
pub(super) fn of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]).to_lowercase());
    let root = if version.contains('/') { "apis" } else { "api" };
    let plural = match (kind.as_str(), kind.strip_suffix('y')) {
        ("endpoints", _) => kind,
        (_, Some(stem)) => format!("{stem}ies"),
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    match &object["metadata"]["namespace"] {
        Value::String(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
        _ => format!("/{root}/{version}/{plural}"),
    }
}

/// Whether a namespaced collection belongs to the one over all namespaces, or is it.
pub(super) fn is_in(path: &str, collection: &str) -> bool {
    let Some((root, resource)) = collection.rsplit_once('/') else { return false };
    path == collection
        || (!collection.contains("/namespaces/")
            && path.starts_with(&format!("{root}/namespaces/"))
            && path.ends_with(&format!("/{resource}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_names_collection_object_and_subresource() {
        let check = |path: &str, collection: &str, name: Option<&str>, subresource: &str| {
            let expected = Path {
                collection: collection.into(),
                name: name.map(str::to_owned),
                subresource: subresource.into(),
            };
            assert_eq!(parse(path), expected);
        };
        check("/api/v1/nodes", "/api/v1/nodes", None, "");
        check("/api/v1/namespaces/a", "/api/v1/namespaces", Some("a"), "");
        check("/api/v1/namespaces/a/pods/b/status", "/api/v1/namespaces/a/pods", Some("b"), "status");
        check("/apis/apps/v1/deployments", "/apis/apps/v1/deployments", None, "");
    }

    #[test]
    fn an_object_belongs_to_the_collection_of_its_kind() {
        let check = |version: &str, kind: &str, namespace: Option<&str>, expected: &str| {
            let object = json!({"apiVersion": version, "kind": kind, "metadata": {"namespace": namespace}});
            assert_eq!(of(&object), expected);
        };
        check("v1", "Namespace", None, "/api/v1/namespaces");
        check("v1", "Service", Some("a"), "/api/v1/namespaces/a/services");
        check(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            Some("a"),
            "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices",
        );
    }

    #[test]
    fn all_namespaces_hold_every_namespaced_collection_of_their_resource() {
        assert!(is_in("/api/v1/namespaces/a/pods", "/api/v1/pods"));
        assert!(is_in("/api/v1/nodes", "/api/v1/nodes"));
        assert!(!is_in("/api/v1/namespaces/a/pods", "/api/v1/namespaces/b/pods"));
        assert!(!is_in("/api/v1/namespaces/a/events", "/apis/events.k8s.io/v1/events"));
    }
}
