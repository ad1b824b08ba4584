//! The downward API: values of a pod's fields and of its containers' resources as text.
//!
//! Used by environment variables and by files of downward API volumes (upstream: pkg/fieldpath, pkg/api/v1/resource).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use super::resources::{milli, value};
use crate::pod;

/// What a pod's fields say that only the node knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFacts {
    pub host_ips: Vec<String>,
    /// Stand in for limits that a container does not set.
    pub allocatable: Allocatable,
}

/// What the node's pods may use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allocatable {
    pub milli_cpu: i64,
    pub memory_bytes: i64,
    pub ephemeral_bytes: i64,
}

/// The value of a field of `pod`; `Err` names a field that cannot be asked for.
pub(crate) fn field(pod: &Pod, path: &str, pod_ips: &[String], node: &NodeFacts) -> Result<String, String> {
    let meta = &pod.metadata;
    let spec = pod::spec(pod);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let values = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("fieldPath {path:?} does not support subscript")),
        };
        return Ok(values.as_ref().and_then(|values| values.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => text(&meta.name),
        "metadata.namespace" => text(&meta.namespace),
        "metadata.uid" => text(&meta.uid),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => text(&spec.node_name),
        "spec.serviceAccountName" => text(&spec.service_account_name),
        "spec.host" => text(&spec.node_name),
        "status.hostIP" => node.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => node.host_ips.join(","),
        "status.podIP" => pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.labels['a']` as (`metadata.labels`, `a`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// A map as the files of a downward API volume show it: `key="value"`, sorted.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let entries = map.into_iter().flatten();
    entries.map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n")
}

fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A container's request or limit in units of the selector's divisor, rounded up.
pub(crate) fn resource(
    selector: &ResourceFieldSelector,
    container: &Container,
    allocatable: &Allocatable,
) -> Result<String, String> {
    let unsupported = || format!("unsupported container resource : {}", selector.resource);
    let (list, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let resources = container.resources.as_ref();
    let values = match list {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let set = values.and_then(|values| values.get(name));
    // A limit that is not set is the node's, a request that is not set is nothing.
    let default = |of_node: i64| if list == "limits" { of_node } else { 0 };
    let (amount, divisor) = if name == "cpu" {
        let amount = set.map_or(default(allocatable.milli_cpu), milli);
        (amount, selector.divisor.as_ref().map_or(1000, milli))
    } else {
        let of_node = match name {
            "memory" => allocatable.memory_bytes,
            "ephemeral-storage" => allocatable.ephemeral_bytes,
            name if name.starts_with("hugepages-") => 0,
            _ => return Err(unsupported()),
        };
        (set.map_or(default(of_node), value), selector.divisor.as_ref().map_or(1, value))
    };
    // The divisor's zero value means "one".
    let divisor = match divisor {
        0 if name == "cpu" => 1000,
        0 => 1,
        divisor => divisor,
    };
    Ok(div_ceil(amount, divisor).to_string())
}

fn div_ceil(amount: i64, divisor: i64) -> i64 {
    amount / divisor + i64::from(amount % divisor > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod() -> Pod {
        let labels = json!({"b": "2", "a": "1\"x"});
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u", "labels": labels});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": [], "nodeName": "node"}}))
            .unwrap()
    }

    fn check(path: &str, expected: Result<&str, &str>) {
        let node = NodeFacts { host_ips: vec!["10.0.0.1".into()], ..NodeFacts::default() };
        let actual = field(&pod(), path, &["10.1.0.5".into(), "fd00::5".into()], &node);
        assert_eq!(actual, expected.map(str::to_owned).map_err(str::to_owned), "{path}");
    }

    #[test]
    fn fields_are_shown_as_text() {
        check("metadata.name", Ok("p"));
        check("metadata.labels['b']", Ok("2"));
        check("metadata.labels['c']", Ok(""));
        check("metadata.labels", Ok("a=\"1\\\"x\"\nb=\"2\""));
        check("status.podIPs", Ok("10.1.0.5,fd00::5"));
        check("status.hostIP", Ok("10.0.0.1"));
        check("spec.nodeName", Ok("node"));
        check("spec.containers", Err("unsupported fieldPath: spec.containers"));
    }

    fn check_resource(selector: Value, expected: &str) {
        let resources = json!({"requests": {"cpu": "250m"}, "limits": {"memory": "64Mi"}});
        let container = serde_json::from_value(json!({"name": "c", "resources": resources})).unwrap();
        let allocatable = Allocatable { milli_cpu: 1500, memory_bytes: 1 << 30, ephemeral_bytes: 0 };
        let selector = serde_json::from_value(selector).unwrap();
        assert_eq!(resource(&selector, &container, &allocatable).unwrap(), expected);
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        check_resource(json!({"resource": "requests.cpu"}), "1");
        check_resource(json!({"resource": "requests.cpu", "divisor": "1m"}), "250");
        check_resource(json!({"resource": "limits.memory", "divisor": "1Mi"}), "64");
        check_resource(json!({"resource": "requests.memory"}), "0");
        check_resource(json!({"resource": "limits.cpu", "divisor": "0"}), "2");
    }
}
