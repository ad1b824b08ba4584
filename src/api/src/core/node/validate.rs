//! Validation of nodes (upstream: `ValidateNode`, `ValidateNodeUpdate`).
//!
//! Called by the kind's hooks. What concerns configuration by ConfigMap, which no longer works, is in `config`.

use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use machinery::field::{Error, ErrorList, Path};
use machinery::{json, names};

use super::{TAINT_EFFECTS, avoid_pods, config};
use crate::checks;
use crate::core::resources;

const MAX_FEATURE: usize = 253;

pub(super) fn validate(node: &Node) -> ErrorList {
    let mut errors = validate_annotations(node);
    let spec = node.spec.as_ref();
    if let Some(taints) = spec.and_then(|spec| spec.taints.as_deref()) {
        errors.extend(validate_taints(taints, &Path::new("metadata.taints")));
    }
    if let Some(status) = &node.status {
        errors.extend(validate_resources(status));
        errors.extend(validate_swap(status));
        errors.extend(validate_features(status));
    }
    let cidrs = spec.and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default();
    errors.extend(validate_pod_cidrs(cidrs));
    errors
}

fn validate_annotations(node: &Node) -> ErrorList {
    avoid_pods::validate(node.metadata.annotations.as_ref(), &Path::new("metadata.annotations"))
}

/// Upstream reports it under `metadata`.
fn validate_swap(status: &NodeStatus) -> ErrorList {
    let swap = status.node_info.as_ref().and_then(|info| info.swap.as_ref());
    let capacity = swap.and_then(|swap| swap.capacity);
    let path = Path::new("metadata.nodeSwapStatus.capacity");
    let is_wrong = capacity.filter(|capacity| *capacity <= 0);
    is_wrong
        .map(|capacity| Error::invalid(&path, capacity, "must be greater than zero"))
        .into_iter()
        .collect()
}

/// Upstream reports taints under `metadata`.
fn validate_taints(taints: &[Taint], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        errors.extend(checks::label_key(&taint.key, &path.child("key")));
        let value = taint.value.as_deref().unwrap_or_default();
        let messages = names::label_value(value);
        if !messages.is_empty() {
            errors.push(Error::invalid(&path.child("value"), value, messages.join(";")));
        }
        errors.extend(checks::one_of(Some(&taint.effect), TAINT_EFFECTS, &path.child("effect")));
        if taints[..index].iter().any(|other| other.key == taint.key && other.effect == taint.effect) {
            let mut duplicate = Error::duplicate(&path, checks::internal("io.k8s.api.core.v1.Taint", taint));
            duplicate.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(duplicate);
        }
    }
    errors
}

fn validate_status(status: &NodeStatus) -> ErrorList {
    let mut errors = validate_resources(status);
    errors.extend(validate_features(status));
    errors
}

fn validate_resources(status: &NodeStatus) -> ErrorList {
    let mut errors = ErrorList::new();
    for (list, name) in [(&status.capacity, "capacity"), (&status.allocatable, "allocatable")] {
        let path = Path::new("status").child(name);
        for (resource, quantity) in list.iter().flatten() {
            errors.extend(resources::validate_quantity(resource, quantity, &path.child(resource)));
        }
    }
    errors
}

fn validate_features(status: &NodeStatus) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new("status.declaredFeatures");
    let features = status.declared_features.as_deref().unwrap_or_default();
    for (index, feature) in features.iter().enumerate() {
        errors.extend(validate_feature(feature, &path.index(index)));
        let Some(next) = features.get(index + 1) else { continue };
        let path = path.index(index + 1);
        match feature.cmp(next) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => errors.push(Error::duplicate(&path, next)),
            std::cmp::Ordering::Greater => {
                errors.push(Error::invalid(&path, next, "list must be sorted alphabetically"));
            }
        }
    }
    errors
}

/// `MyFeature/mySubFeature`: the first part begins with a capital.
fn validate_feature(name: &str, path: &Path) -> Option<Error> {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let reason = if name.len() > MAX_FEATURE {
        format!("must be no more than {MAX_FEATURE} characters")
    } else if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !name.split('/').all(is_part) {
        "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes".to_owned()
    } else {
        return None;
    };
    let detail = format!("invalid feature name {}: {reason}", json::quoted(name));
    Some(Error::invalid(path, name, detail))
}

fn validate_pod_cidrs(cidrs: &[String]) -> ErrorList {
    let path = Path::new("spec.podCIDRs");
    let mut errors = ErrorList::new();
    for (index, cidr) in cidrs.iter().enumerate() {
        errors.extend(checks::legacy_cidr(cidr, &path.index(index)));
    }
    let read = |cidr: &String| checks::Cidr::parse(cidr).map(|cidr| cidr.address.to_canonical().is_ipv4());
    let families: Vec<Option<bool>> = cidrs.iter().map(read).collect();
    let wrong = families.iter().position(Option::is_none).filter(|_| cidrs.len() > 1);
    if let Some(index) = wrong {
        let cidr = &cidrs[index];
        let why = format!("invalid CIDR[{index}]: <nil> (invalid CIDR address: {cidr})");
        let text = format!("invalid PodCIDRs. failed to check with dual stack with error:{why}");
        errors.push(Error::internal(&path, text));
    }
    let one_each =
        matches!(families.as_slice(), [] | [_] | [Some(true), Some(false)] | [Some(false), Some(true)]);
    if !one_each {
        errors.push(Error::invalid(&path, cidrs, "may specify no more than one CIDR for each IP family"));
    }
    errors
}

/// What neither an update nor an update of the status may do.
pub(super) fn validate_change(new: &Node, old: &Node) -> ErrorList {
    let mut errors = checks::metadata_update(new, old);
    errors.extend(validate_annotations(new));
    errors.extend(new.status.as_ref().map(validate_status).unwrap_or_default());
    let addresses = new.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            let value = checks::internal("io.k8s.api.core.v1.NodeAddress", address);
            errors.push(Error::duplicate(&Path::new("status.addresses").index(index), value));
        }
    }
    let (spec, old) = (new.spec.clone().unwrap_or_default(), old.spec.clone().unwrap_or_default());
    errors.extend(validate_kept(&spec, &old));
    if let Some(source) = &spec.config_source {
        errors.extend(config::validate_spec(source, &Path::new("spec.configSource")));
    }
    if let Some(status) = new.status.as_ref().and_then(|status| status.config.as_ref()) {
        errors.extend(config::validate_status(status, &Path::new("status.config")));
    }
    let taints = spec.taints.as_deref().unwrap_or_default();
    errors.extend(validate_taints(taints, &Path::new("metadata.taints")));
    if checks::text(&spec.external_id) != checks::text(&old.external_id) {
        errors.push(Error::forbidden(&Path::new("spec.externalID"), "may not be updated"));
    }
    errors
}

/// What is set once stays.
fn validate_kept(new: &NodeSpec, old: &NodeSpec) -> ErrorList {
    let (new_cidrs, old_cidrs) =
        (new.pod_cidrs.as_deref().unwrap_or_default(), old.pod_cidrs.as_deref().unwrap_or_default());
    let changed = match old_cidrs.len() {
        0 => 0,
        count if count != new_cidrs.len() => 1,
        _ => new_cidrs.iter().zip(old_cidrs).filter(|(new, old)| new != old).count(),
    };
    let detail = "node updates may not change podCIDR except from \"\" to valid";
    let mut errors: ErrorList =
        (0..changed).map(|_| Error::forbidden(&Path::new("spec.podCIDRs"), detail)).collect();
    let old_id = checks::text(&old.provider_id);
    if !old_id.is_empty() && old_id != checks::text(&new.provider_id) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(Error::forbidden(&Path::new("spec.providerID"), detail));
    }
    errors
}
