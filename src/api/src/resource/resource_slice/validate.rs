//! Validation of a slice (upstream: `validateResourceSliceSpec`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::api::resource::v1::{Counter, CounterSet, Device, ResourcePool, ResourceSliceSpec};
use machinery::field::{Error, ErrorList, Path};
use machinery::json::Tree;

use super::super::{lists, names};
use super::devices;
use crate::checks;
use crate::core::pod::validate_node_selector;

const TERM: &str = "io.k8s.api.core.v1.NodeSelectorTerm";
const MAX_DEVICES: usize = 128;
const MAX_ADVANCED_DEVICES: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
/// Counters of one set, and counters that one device consumes.
const MAX_COUNTERS: usize = 32;
const ONE_PLACE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

/// Errors of a spec, which replaces `old` if it is an update.
pub(super) fn validate(spec: &ResourceSliceSpec, old: Option<&ResourceSliceSpec>) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = checks::driver_name(&spec.driver, &path.child("driver"));
    errors.extend(validate_pool(&spec.pool, &path.child("pool")));
    if let Some(old) = old {
        errors.extend(checks::immutable(&spec.pool.name, &old.pool.name, &path.child("pool.name")));
        errors.extend(checks::immutable(&spec.driver, &old.driver, &path.child("driver")));
        errors.extend(checks::immutable(&spec.node_name, &old.node_name, &path.child("nodeName")));
    }
    errors.extend(validate_place(spec, &path));
    if spec.shared_counters.is_some() && spec.devices.is_some() {
        errors.push(Error::invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed"));
    }
    errors.extend(validate_devices(spec, old, &path.child("devices")));
    let sets = spec.shared_counters.as_deref().unwrap_or_default();
    let path = path.child("sharedCounters");
    errors.extend(lists::set(sets, MAX_COUNTER_SETS, &path, validate_counter_set, |set| set.name.clone()));
    errors
}

fn validate_pool(pool: &ResourcePool, path: &Path) -> ErrorList {
    let mut errors = names::pool(&pool.name, &path.child("name"));
    if pool.resource_slice_count <= 0 {
        let path = path.child("resourceSliceCount");
        errors.push(Error::invalid(&path, pool.resource_slice_count, "must be greater than zero"));
    }
    if pool.generation < 0 {
        let path = path.child("generation");
        errors.push(Error::invalid(&path, pool.generation, "must be greater than or equal to zero"));
    }
    errors
}

/// From where the devices can be reached is said in one way.
fn validate_place(spec: &ResourceSliceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut set = vec![];
    match spec.node_name.as_deref() {
        Some("") => {
            let detail = "must be either unset or set to a non-empty string";
            errors.push(Error::invalid(&path.child("nodeName"), "", detail));
        }
        Some(name) => {
            set.push("`nodeName`");
            errors.extend(checks::reference(name, &path.child("nodeName")));
        }
        None => {}
    }
    if let Some(selector) = &spec.node_selector {
        set.push("`nodeSelector`");
        errors.extend(validate_selector(selector, &path.child("nodeSelector")));
    }
    let flags = [
        ("allNodes", "`allNodes`", spec.all_nodes),
        ("perDeviceNodeSelection", "`perDeviceNodeSelection`", spec.per_device_node_selection),
    ];
    for (name, quoted, flag) in flags {
        match flag {
            Some(true) => set.push(quoted),
            Some(false) => {
                let detail = "must be either unset or set to true";
                errors.push(Error::invalid(&path.child(name), false, detail));
            }
            None => {}
        }
    }
    match set[..] {
        [] => errors.push(Error::required(path, ONE_PLACE)),
        [_] => {}
        _ => {
            let detail = format!("{ONE_PLACE}, but multiple fields are set");
            errors.push(Error::invalid(path, format!("{{{}}}", set.join(", ")), detail));
        }
    }
    errors
}

fn validate_selector(selector: &NodeSelector, path: &Path) -> ErrorList {
    let mut errors = validate_node_selector(selector, true, path);
    let terms = &selector.node_selector_terms;
    if terms.len() != 1 {
        let shown = Tree::Array(terms.iter().map(|term| checks::internal(TERM, term)).collect());
        let detail = "must have exactly one node selector term";
        errors.push(Error::invalid(&path.child("nodeSelectorTerms"), shown, detail));
    }
    errors
}

fn validate_devices(spec: &ResourceSliceSpec, old: Option<&ResourceSliceSpec>, path: &Path) -> ErrorList {
    let devices = spec.devices.as_deref().unwrap_or_default();
    let is_advanced = |device: &Device| {
        device.taints.as_ref().is_some_and(|taints| !taints.is_empty())
            || device.consumes_counters.as_ref().is_some_and(|counters| !counters.is_empty())
    };
    let max = if devices.iter().any(is_advanced) { MAX_ADVANCED_DEVICES } else { MAX_DEVICES };
    let before = |name: &str| {
        let mut devices = old.into_iter().flat_map(|old| old.devices.iter().flatten());
        devices.find(|device| device.name == name)
    };
    let chooses_nodes = spec.per_device_node_selection.unwrap_or_default();
    let validate =
        |device: &Device, path: &Path| devices::validate(device, before(&device.name), chooses_nodes, path);
    lists::set(devices, max, path, validate, |device| device.name.clone())
}

fn validate_counter_set(set: &CounterSet, path: &Path) -> ErrorList {
    validate_counters(("name", &set.name), &set.counters, path)
}

/// Errors of counters and of the name of their set.
pub(super) fn validate_counters(
    (field, name): (&str, &str),
    counters: &BTreeMap<String, Counter>,
    path: &Path,
) -> ErrorList {
    let name_path = path.child(field);
    let mut errors = match name {
        "" => vec![Error::required(&name_path, "")],
        name => checks::dns_label(name, &name_path),
    };
    let path = path.child("counters");
    match counters.len() {
        0 => errors.push(Error::required(&path, "")),
        count if count > MAX_COUNTERS => errors.push(Error::too_many(&path, count, MAX_COUNTERS)),
        // Any amount will do.
        _ => errors.extend(lists::map(counters, 63, &path, checks::dns_label, |_, _| ErrorList::new())),
    }
    errors
}
