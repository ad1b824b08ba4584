//! Validation of one device (upstream: `validateDevice`).

use std::collections::BTreeSet;

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute, DeviceTaint};
use machinery::field::{Error, ErrorList, Path};

use super::super::{lists, names, taints};
use super::{attributes, capacity, validate::validate_counters};
use crate::checks;
use crate::core::pod::validate_node_selector;

const TAINT: &str = "io.k8s.api.resource.v1.DeviceTaint";
const MAX_ATTRIBUTES_AND_CAPACITIES: usize = 32;
const MAX_VALUES: usize = 48;
const MAX_TAINTS: usize = 16;
const MAX_CONSUMED_SETS: usize = 2;
const MAX_BINDING_CONDITIONS: usize = 4;

/// Errors of a device, which replaces `old` if there was one of its name.
pub(super) fn validate(device: &Device, old: Option<&Device>, chooses_nodes: bool, path: &Path) -> ErrorList {
    let mut errors = checks::dns_label(&device.name, &path.child("name"));
    errors.extend(validate_properties(device, path));
    if !old.is_some_and(|old| same_taints(device, old)) {
        let taints = device.taints.as_deref().unwrap_or_default();
        errors.extend(lists::bounded(taints, MAX_TAINTS, &path.child("taints"), taints::validate_taint));
    }
    let consumed = device.consumes_counters.as_deref().unwrap_or_default();
    errors.extend(lists::set(
        consumed,
        MAX_CONSUMED_SETS,
        &path.child("consumesCounters"),
        |consumed, path| validate_counters(("counterSet", &consumed.counter_set), &consumed.counters, path),
        |consumed| consumed.counter_set.clone(),
    ));
    errors.extend(if chooses_nodes { validate_place(device, path) } else { validate_no_place(device, path) });
    errors.extend(validate_binding(
        device.binding_conditions.as_deref(),
        device.binding_failure_conditions.as_deref(),
        path,
    ));
    errors
}

/// Attributes and capacities.
fn validate_properties(device: &Device, path: &Path) -> ErrorList {
    let attributes = device.attributes.clone().unwrap_or_default();
    let capacities = device.capacity.clone().unwrap_or_default();
    let mut errors = ErrorList::new();
    let count = attributes.len() + capacities.len();
    if count > MAX_ATTRIBUTES_AND_CAPACITIES {
        let detail = format!(
            "the total number of attributes and capacities must not exceed {MAX_ATTRIBUTES_AND_CAPACITIES}"
        );
        errors.push(Error::invalid(path, count, detail).named());
    }
    let values: usize = attributes.values().map(values_of).sum();
    if values > MAX_VALUES {
        let detail = format!("the total number of attribute values must not exceed {MAX_VALUES}");
        errors.push(Error::invalid(path, values, detail));
    }
    let max = names::MAX_QUALIFIED;
    let attributes_path = path.child("attributes");
    errors.extend(lists::map(&attributes, max, &attributes_path, names::qualified, attributes::validate));
    let validate = if device.allow_multiple_allocations.unwrap_or_default() {
        capacity::validate_shared
    } else {
        capacity::validate_whole
    };
    errors.extend(lists::map(&capacities, max, &path.child("capacity"), names::qualified, validate));
    errors
}

fn values_of(attribute: &DeviceAttribute) -> usize {
    let lists = [
        attribute.bools.as_ref().map_or(0, Vec::len),
        attribute.ints.as_ref().map_or(0, Vec::len),
        attribute.strings.as_ref().map_or(0, Vec::len),
        attribute.versions.as_ref().map_or(0, Vec::len),
    ];
    lists.iter().sum::<usize>().max(1)
}

fn same_taints(new: &Device, old: &Device) -> bool {
    let (new, old) = (new.taints.as_deref().unwrap_or_default(), old.taints.as_deref().unwrap_or_default());
    let same = |(new, old): (&DeviceTaint, &DeviceTaint)| checks::same(TAINT, new, old);
    new.len() == old.len() && new.iter().zip(old).all(same)
}

/// From where the device can be reached, where the slice leaves that to it.
fn validate_place(device: &Device, path: &Path) -> ErrorList {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    let mut errors = ErrorList::new();
    let mut set = vec![];
    match device.node_name.as_deref() {
        Some("") => errors.push(Error::invalid(&path.child("nodeName"), "", "must not be empty")),
        Some(name) => {
            set.push("`nodeName`");
            errors.extend(checks::reference(name, &path.child("nodeName")));
        }
        None => {}
    }
    if let Some(selector) = &device.node_selector {
        set.push("`nodeSelector`");
        errors.extend(validate_node_selector(selector, true, &path.child("nodeSelector")));
    }
    match device.all_nodes {
        Some(true) => set.push("`allNodes`"),
        Some(false) => {
            let detail = "must be either unset or set to true";
            errors.push(Error::invalid(&path.child("allNodes"), false, detail));
        }
        None => {}
    }
    match set[..] {
        [] => errors.push(Error::required(path, ONE)),
        [_] => {}
        _ => errors.push(Error::invalid(path, format!("{{{}}}", set.join(", ")), ONE)),
    }
    errors
}

fn validate_no_place(device: &Device, path: &Path) -> ErrorList {
    let is_set = device.node_name.is_some() || device.node_selector.is_some() || device.all_nodes.is_some();
    let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    ErrorList::from_iter(is_set.then(|| Error::invalid(path, (), detail)))
}

/// Errors of the conditions that have to hold, and of those that may not, before a pod is bound.
pub(in crate::resource) fn validate_binding(
    ready: Option<&[String]>,
    failed: Option<&[String]>,
    path: &Path,
) -> ErrorList {
    let (ready_path, failed_path) = (path.child("bindingConditions"), path.child("bindingFailureConditions"));
    let ready_list = ready.unwrap_or_default();
    let failed_list = failed.unwrap_or_default();
    let validate = |name: &String, path: &Path| checks::label_key(name, path);
    let mut errors = lists::bounded(ready_list, MAX_BINDING_CONDITIONS, &ready_path, validate);
    errors.extend(lists::bounded(failed_list, MAX_BINDING_CONDITIONS, &failed_path, validate));
    let repeated = |path: &Path, name: &str| Error::duplicate(path, name);
    errors.extend(lists::duplicates(ready_list, &ready_path, String::as_str, repeated));
    let mut seen = BTreeSet::new();
    for (index, name) in failed_list.iter().enumerate() {
        let path = failed_path.index(index);
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name.as_str()));
        }
        if ready_list.contains(name) {
            let detail = "bindingFailureConditions must not overlap with bindingConditions";
            errors.push(Error::invalid(&path, name.as_str(), detail));
        }
    }
    if ready_list.is_empty() && !failed_list.is_empty() {
        let detail = "bindingConditions are required to use bindingFailureConditions";
        errors.push(Error::invalid(&ready_path, ready, detail));
    }
    if failed_list.is_empty() && !ready_list.is_empty() {
        let detail = "bindingFailureConditions are required to use bindingConditions";
        errors.push(Error::invalid(&failed_path, failed, detail));
    }
    errors
}
