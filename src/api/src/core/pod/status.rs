//! The status of a pod: what an update of it may change (upstream: `podStatusStrategy`, `ValidatePodStatusUpdate`).

mod allocated;
mod claims;

use k8s_openapi::api::core::v1::{
    Container, ContainerRestartRule, ContainerStatus, ContainerUser, Pod, PodCondition, PodIP, PodSpec,
    PodStatus, ResourceRequirements, VolumeMountStatus,
};
use machinery::field::{Error, ErrorList, Path};

use super::spec_of;
use super::validate::{self, Allowed};
use crate::checks::{self, text};
use crate::core::resources;

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

/// Amounts are kept to a thousandth.
pub(super) fn round_amounts(status: &mut PodStatus) {
    status.allocated_resources.iter_mut().for_each(resources::round_up);
    status.resources.iter_mut().for_each(round_requirements);
    for status in lists_mut(status) {
        status.allocated_resources.iter_mut().for_each(resources::round_up);
        status.resources.iter_mut().for_each(round_requirements);
    }
}

fn round_requirements(requirements: &mut ResourceRequirements) {
    [&mut requirements.limits, &mut requirements.requests]
        .into_iter()
        .flatten()
        .for_each(resources::round_up);
}

/// Keeps what the kubelet may leave out: the class, and generations that were observed.
pub(super) fn prepare(new: &mut PodStatus, old: &PodStatus) {
    drop_disabled(new, old);
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

/// Fields whose feature is off by default in this version are not stored, unless they were.
fn drop_disabled(new: &mut PodStatus, old: &PodStatus) {
    if old.node_allocatable_resource_claim_statuses.as_ref().is_none_or(Vec::is_empty) {
        new.node_allocatable_resource_claim_statuses = None;
    }
    if !lists(old).any(|status| mounts(status).any(|mount| mount.volume_status.is_some())) {
        for status in lists_mut(new) {
            for mount in status.volume_mounts.iter_mut().flatten() {
                mount.volume_status = None;
            }
        }
    }
}

fn mounts(status: &ContainerStatus) -> impl Iterator<Item = &VolumeMountStatus> {
    status.volume_mounts.iter().flatten()
}

fn lists(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    init.chain(main).chain(status.ephemeral_container_statuses.iter().flatten())
}

fn lists_mut(status: &mut PodStatus) -> impl Iterator<Item = &mut ContainerStatus> {
    let init = status.init_container_statuses.iter_mut().flatten();
    let main = status.container_statuses.iter_mut().flatten();
    init.chain(main).chain(status.ephemeral_container_statuses.iter_mut().flatten())
}

/// Warnings about addresses that are not in their standard form.
pub(super) fn warnings(status: &PodStatus) -> Vec<String> {
    let pod = status.pod_ips.iter().flatten().map(|ip| &ip.ip).enumerate();
    let host = status.host_ips.iter().flatten().map(|ip| &ip.ip).enumerate();
    let lists = pod.map(|ip| ("podIPs", ip)).chain(host.map(|ip| ("hostIPs", ip)));
    let path = |list: &str, index| Path::new("status").child(list).index(index).child("ip");
    lists.flat_map(|(list, (index, ip))| checks::ip_warnings(ip, &path(list, index))).collect()
}

pub(super) fn validate(new: &Pod, old: &Pod) -> ErrorList {
    let spec = spec_of(old);
    let (status, old_status) =
        (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
    let path = Path::new("status");
    let (annotations, old_annotations) =
        (new.metadata.annotations.as_ref(), old.metadata.annotations.as_ref());
    let annotations_path = Path::new("metadata.annotations");
    let allowed = Allowed::by(&old.metadata, spec);
    let mut errors = checks::metadata_update(new, old);
    errors.extend(validate::annotations_update(
        annotations,
        old_annotations,
        spec,
        &allowed,
        &annotations_path,
    ));
    let conditions = status.conditions.as_deref().unwrap_or_default();
    errors.extend(validate_conditions(conditions, &path.child("conditions")));
    errors.extend(validate_nomination(&status, &old_status, spec, &path.child("nominatedNodeName")));
    errors.extend(observed_generation(status.observed_generation, &path));
    errors.extend(checks::immutable(&status.qos_class, &old_status.qos_class, &path.child("qosClass")));
    errors.extend(validate_all_transitions(&status, &old_status, spec, &path));
    errors.extend(claims::validate(&status, spec_of(new), &path));
    errors.extend(validate_addresses(&status, &old_status, &path));
    errors.extend(validate_users(&status, spec_of(new), &path));
    errors.extend(allocated::validate(&status, spec_of(new), &path));
    errors
}

/// Users that containers run as.
fn validate_users(status: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let lists = [
        (&status.container_statuses, "containerStatuses"),
        (&status.init_container_statuses, "initContainerStatuses"),
        (&status.ephemeral_container_statuses, "ephemeralContainerStatuses"),
    ];
    let os = spec.os.as_ref().map_or("linux", |os| os.name.as_str());
    let mut errors = ErrorList::new();
    for (list, name) in lists {
        for (index, status) in list.iter().flatten().enumerate() {
            let path = path.child(name).index(index).child("user.linux");
            errors.extend(status.user.iter().flat_map(|user| validate_user(user, os, &path)));
        }
    }
    errors
}

fn validate_user(user: &ContainerUser, os: &str, path: &Path) -> ErrorList {
    match (&user.linux, os) {
        (Some(_), "windows") => vec![Error::forbidden(path, "cannot be set for a windows pod")],
        (Some(user), "linux") => {
            let mut errors = checks::id(user.uid, &path.child("uid"));
            errors.extend(checks::id(user.gid, &path.child("gid")));
            for (index, group) in user.supplemental_groups.iter().flatten().enumerate() {
                errors.extend(checks::id(*group, &path.child("supplementalGroups").index(index)));
            }
            errors
        }
        _ => vec![],
    }
}

/// Ended containers of each sort; an ephemeral one is never started again.
fn validate_all_transitions(new: &PodStatus, old: &PodStatus, spec: &PodSpec, path: &Path) -> ErrorList {
    let may = |containers: &[Container], name: &str, code: i32| {
        let container = containers.iter().find(|container| container.name == name);
        all_may_restart(spec) || container.is_some_and(|container| is_restarted(container, spec, code))
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let mut errors = validate_transitions(
        [&new.container_statuses, &old.container_statuses],
        |name, code| may(&spec.containers, name, code),
        &path.child("containerStatuses"),
    );
    errors.extend(validate_transitions(
        [&new.init_container_statuses, &old.init_container_statuses],
        |name, code| may(init, name, code),
        &path.child("initContainerStatuses"),
    ));
    errors.extend(validate_transitions(
        [&new.ephemeral_container_statuses, &old.ephemeral_container_statuses],
        |_, _| false,
        &path.child("ephemeralContainerStatuses"),
    ));
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
    [new, old]: [&Option<Vec<ContainerStatus>>; 2],
    may: impl Fn(&str, i32) -> bool,
    path: &Path,
) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, old) in old.iter().flatten().enumerate() {
        let Some(ended) = old.state.as_ref().and_then(|state| state.terminated.as_ref()) else { continue };
        let runs = |new: &&ContainerStatus| {
            new.name == old.name && new.state.as_ref().is_none_or(|state| state.terminated.is_none())
        };
        if new.iter().flatten().any(|new| runs(&new)) && !may(&old.name, ended.exit_code) {
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
    let by_policy = |policy: &str| match policy {
        "Always" => Some(true),
        "OnFailure" => Some(code != 0),
        "Never" => Some(false),
        _ => None,
    };
    let own = container.restart_policy.as_deref();
    if own.is_some() && is_restarted_by_rule(container, code) {
        return true;
    }
    own.and_then(by_policy).or_else(|| by_policy(text(&spec.restart_policy))).unwrap_or(true)
}

/// Whether the first rule that fits the exit code restarts the container.
fn is_restarted_by_rule(container: &Container, code: i32) -> bool {
    let fits = |rule: &&ContainerRestartRule| {
        rule.exit_codes.as_ref().is_some_and(|codes| {
            let is_listed = codes.values.iter().flatten().any(|value| *value == code);
            match codes.operator.as_str() {
                "In" => is_listed,
                "NotIn" => !is_listed,
                _ => false,
            }
        })
    };
    let rule = container.restart_policy_rules.iter().flatten().find(fits);
    rule.is_some_and(|rule| matches!(rule.action.as_str(), "Restart" | "RestartAllContainers"))
}

fn pod_ips(status: &PodStatus) -> Vec<&str> {
    status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect()
}

fn host_ips(status: &PodStatus) -> Vec<&str> {
    status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect()
}

fn validate_addresses(status: &PodStatus, old: &PodStatus, path: &Path) -> ErrorList {
    let host_ips_now = host_ips(status);
    let mut errors = one_per_family(&pod_ips(status), &pod_ips(old), &path.child("podIPs"));
    let path = path.child("hostIPs");
    if let Some(first) = host_ips_now.first().filter(|first| **first != text(&status.host_ip)) {
        errors.push(Error::invalid(&path.index(0).child("ip"), *first, "must be equal to `hostIP`"));
    }
    errors.extend(one_per_family(&host_ips_now, &host_ips(old), &path));
    errors
}

fn one_per_family(ips: &[&str], old: &[&str], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, ip) in ips.iter().enumerate() {
        errors.extend(checks::kept_ip(ip, old.iter().copied(), &path.index(index)));
    }
    if ips.len() > 1 {
        let value: Vec<_> = ips.iter().map(|ip| serde_json::json!({ "IP": ip })).collect();
        let found = checks::dual_stack(ips, &value, path);
        if found.is_empty() && ips.len() > 2 {
            let detail = "may specify no more than one IP for each IP family";
            errors.push(Error::invalid(path, value, detail));
        }
        errors.extend(found);
    }
    errors
}
