//! The status of a pod: what an update of it may change (upstream: `podStatusStrategy`, `ValidatePodStatusUpdate`).

mod claims;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodCondition, PodIP, PodSpec, PodStatus};
use machinery::field::{Error, ErrorList, Path};

use super::{spec_of, validate};
use crate::checks::{self, text};

const SYSTEM_CONDITIONS: &[&str] = &["PodScheduled", "Ready", "Initialized"];

/// `podIP` is the first of `podIPs`; older clients write only one of them.
pub(super) fn pair_addresses(status: &mut PodStatus) {
    let first = status.pod_ips.as_ref().and_then(|ips| ips.first()).map(|first| first.ip.clone());
    match (first, &status.pod_ip) {
        (None, Some(ip)) if !ip.is_empty() => status.pod_ips = Some(vec![PodIP { ip: ip.clone() }]),
        (Some(first), Some(ip)) if !ip.is_empty() && first != *ip => {
            status.pod_ips = Some(vec![PodIP { ip: ip.clone() }]);
        }
        (Some(first), _) => status.pod_ip = Some(first),
        (None, _) => {}
    }
}

/// Keeps what the kubelet may leave out: the class, and generations that were observed.
pub(super) fn prepare(new: &mut PodStatus, old: &PodStatus) {
    if text(&new.qos_class).is_empty() {
        new.qos_class.clone_from(&old.qos_class);
    }
    if new.observed_generation.unwrap_or(0) == 0 {
        new.observed_generation = old.observed_generation;
    }
    let mut known: Vec<&PodCondition> = old.conditions.iter().flatten().collect();
    for condition in new.conditions.iter_mut().flatten() {
        let index = known.iter().position(|old| old.type_ == condition.type_);
        let old = index.map(|index| known.remove(index));
        if condition.observed_generation.unwrap_or(0) == 0 {
            condition.observed_generation = old.and_then(|old| old.observed_generation);
        }
    }
}

pub(super) fn validate(new: &Pod, old: &Pod) -> ErrorList {
    let spec = spec_of(old);
    let (status, old_status) =
        (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let path = Path::new("status");
    let (annotations, old_annotations) =
        (new.metadata.annotations.as_ref(), old.metadata.annotations.as_ref());
    let annotations_path = Path::new("metadata.annotations");
    let mut errors = checks::metadata_update(new, old);
    errors.extend(validate::annotations_update(annotations, old_annotations, &annotations_path));
    errors.extend(validate::annotations(annotations, spec, &annotations_path));
    let conditions = status.conditions.as_deref().unwrap_or_default();
    errors.extend(validate_conditions(conditions, &path.child("conditions")));
    errors.extend(validate_nomination(&status, &old_status, spec, &path.child("nominatedNodeName")));
    errors.extend(observed_generation(status.observed_generation, &path));
    errors.extend(checks::immutable(&status.qos_class, &old_status.qos_class, &path.child("qosClass")));
    let lists = [
        (&status.container_statuses, &old_status.container_statuses, "containerStatuses"),
        (&status.init_container_statuses, &old_status.init_container_statuses, "initContainerStatuses"),
    ];
    for (new, old, name) in lists {
        let (new, old) = (new.as_deref().unwrap_or_default(), old.as_deref().unwrap_or_default());
        errors.extend(validate_transitions(new, old, spec, &path.child(name)));
    }
    errors.extend(claims::validate(&status, spec_of(new), &path));
    errors.extend(validate_addresses(&status, &path));
    errors
}

fn observed_generation(generation: Option<i64>, path: &Path) -> Option<Error> {
    let generation = generation.filter(|&generation| generation < 0)?;
    Some(Error::invalid(&path.child("observedGeneration"), generation, "must be a non-negative integer"))
}

fn validate_conditions(conditions: &[PodCondition], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        errors.extend(observed_generation(condition.observed_generation, &path));
        if !SYSTEM_CONDITIONS.contains(&condition.type_.as_str()) {
            errors.extend(checks::qualified_name(&condition.type_, &path.child("Type")));
        }
    }
    errors
}

/// A node may be nominated only while there is none.
fn validate_nomination(new: &PodStatus, old: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let name = text(&new.nominated_node_name);
    if name.is_empty() || name == text(&old.nominated_node_name) {
        return vec![];
    }
    let mut errors = checks::reference(name, path);
    if !text(&spec.node_name).is_empty() {
        errors.push(Error::forbidden(path, "may not be set on pods that are already bound to a node"));
    }
    errors
}

/// A container that has ended, and is not to be started again, stays ended.
fn validate_transitions(
    new: &[ContainerStatus],
    old: &[ContainerStatus],
    spec: &PodSpec,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, old) in old.iter().enumerate() {
        let Some(ended) = old.state.as_ref().and_then(|state| state.terminated.as_ref()) else { continue };
        let runs_again = new
            .iter()
            .find(|new| new.name == old.name)
            .is_some_and(|new| new.state.as_ref().is_none_or(|state| state.terminated.is_none()));
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let container = containers.find(|container| container.name == old.name);
        let may = container.is_some_and(|container| is_restarted(container, spec, ended.exit_code));
        if runs_again && !may && !all_may_restart(spec) {
            let detail = "may not be transitioned to non-terminated state";
            errors.push(Error::forbidden(&path.index(index).child("state"), detail));
        }
    }
    errors
}

/// Whether a rule of some container may restart all of them.
fn all_may_restart(spec: &PodSpec) -> bool {
    let mut rules = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .flat_map(|container| container.restart_policy_rules.iter().flatten());
    rules.any(|rule| rule.action == "RestartAllContainers")
}

/// Whether a container that exited with `code` is started again: by its rules, its policy, or the pod's.
fn is_restarted(container: &Container, spec: &PodSpec, code: i32) -> bool {
    let applies = |operator: &str, values: &[i32]| match operator {
        "In" => values.contains(&code),
        "NotIn" => !values.contains(&code),
        _ => false,
    };
    let mut rules = container.restart_policy_rules.iter().flatten();
    let by_rule = rules.any(|rule| {
        let codes = rule.exit_codes.as_ref();
        codes.is_some_and(|codes| applies(&codes.operator, codes.values.as_deref().unwrap_or_default()))
    });
    let policy = container.restart_policy.as_deref().unwrap_or_else(|| text(&spec.restart_policy));
    by_rule
        || match policy {
            "Always" => true,
            "OnFailure" => code != 0,
            _ => false,
        }
}

fn validate_addresses(status: &PodStatus, path: &Path) -> ErrorList {
    let pod_ips: Vec<&str> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    let host_ips: Vec<&str> = status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    let mut errors = one_per_family(&pod_ips, &path.child("podIPs"));
    let path = path.child("hostIPs");
    if let Some(first) = host_ips.first().filter(|first| **first != text(&status.host_ip)) {
        errors.push(Error::invalid(&path.index(0).child("ip"), *first, "must be equal to `hostIP`"));
    }
    errors.extend(one_per_family(&host_ips, &path));
    errors
}

fn one_per_family(ips: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, ip) in ips.iter().enumerate() {
        errors.extend(checks::legacy_ip(ip, &path.index(index)));
    }
    let families: Vec<bool> =
        ips.iter().filter_map(|ip| checks::parse_ip(ip)).map(|ip| ip.is_ipv4()).collect();
    if !matches!(families.as_slice(), [] | [_] | [true, false] | [false, true]) {
        let value: Vec<_> = ips.iter().map(|ip| serde_json::json!({ "IP": ip })).collect();
        errors.push(Error::invalid(path, value, "may specify no more than one IP for each IP family"));
    }
    errors
}
