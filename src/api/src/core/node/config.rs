//! Configuration of a kubelet by a ConfigMap: it no longer works, but what the API holds of it is still checked (upstream:
//! `validateNodeConfigSourceSpec`, `validateNodeConfigStatus`).

use k8s_openapi::api::core::v1::{ConfigMapNodeConfigSource, NodeConfigSource, NodeConfigStatus};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks;

/// The source that a spec names: uid and version of the map are not known yet.
pub(super) fn validate_spec(source: &NodeConfigSource, path: &Path) -> ErrorList {
    validate_source(source, path, |map, path| {
        let mut errors = ErrorList::new();
        for (name, value) in [("uid", &map.uid), ("resourceVersion", &map.resource_version)] {
            if !checks::text(value).is_empty() {
                errors.push(Error::forbidden(&path.child(name), format!("{name} must not be set in spec")));
            }
        }
        errors
    })
}

/// The sources that a status names: they are known exactly.
pub(super) fn validate_status(status: &NodeConfigStatus, path: &Path) -> ErrorList {
    let sources = [
        ("assigned", &status.assigned),
        ("active", &status.active),
        ("lastKnownGood", &status.last_known_good),
    ];
    let known = |map: &ConfigMapNodeConfigSource, path: &Path| {
        let mut errors = ErrorList::new();
        for (name, value) in [("uid", &map.uid), ("resourceVersion", &map.resource_version)] {
            if checks::text(value).is_empty() {
                errors.push(Error::required(&path.child(name), ""));
            }
        }
        errors
    };
    let sources = sources.into_iter().filter_map(|(name, source)| Some((name, source.as_ref()?)));
    sources.flat_map(|(name, source)| validate_source(source, &path.child(name), known)).collect()
}

fn validate_source(
    source: &NodeConfigSource,
    path: &Path,
    identity: impl Fn(&ConfigMapNodeConfigSource, &Path) -> ErrorList,
) -> ErrorList {
    let Some(map) = &source.config_map else {
        let shown = checks::internal("io.k8s.api.core.v1.NodeConfigSource", source);
        return vec![Error::invalid(path, shown, "exactly one reference subfield must be non-nil")];
    };
    let path = path.child("configMap");
    let mut errors = identity(map, &path);
    type Rule = fn(&str) -> Vec<String>;
    let fields: [(&str, &String, Rule); 3] = [
        ("namespace", &map.namespace, names::dns1123_label),
        ("name", &map.name, names::dns1123_subdomain),
        ("kubeletConfigKey", &map.kubelet_config_key, names::config_map_key),
    ];
    for (name, value, rule) in fields {
        let path = path.child(name);
        if value.is_empty() {
            errors.push(Error::required(&path, ""));
        } else {
            errors.extend(checks::each(&path, value.as_str(), rule(value)));
        }
    }
    errors
}
