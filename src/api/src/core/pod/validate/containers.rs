//! Containers and init containers (upstream: `validateContainerCommon`, `validateContainers`,
//! `validateInitContainers`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, ContainerResizePolicy, ContainerRestartRule};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use super::{Allowed, Scope, environment, mounts, probes, security};
use crate::checks::{self, text};
use crate::core::resources;

const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];
const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];

/// The containers, of which there is at least one.
pub(super) fn validate(scope: &Scope<'_>, path: &Path) -> ErrorList {
    let containers = &scope.spec.containers;
    if containers.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        errors.extend(validate_common(container, scope, &path));
        if !seen.insert(container.name.as_str()) {
            errors.push(Error::duplicate(&path.child("name"), container.name.as_str()));
        }
        errors.extend(probes::validate(container, scope.spec.termination_grace_period_seconds, &path));
        errors.extend(validate_restart_policy(container, &path));
    }
    errors.extend(validate_host_ports(containers, path));
    errors
}

/// The init containers, whose names differ from those of containers.
pub(super) fn validate_init(scope: &Scope<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen: BTreeSet<&str> =
        scope.spec.containers.iter().map(|container| container.name.as_str()).collect();
    for (index, container) in scope.spec.init_containers.iter().flatten().enumerate() {
        let indexed = path.index(index);
        errors.extend(validate_common(container, scope, &indexed));
        errors.extend(validate_init_restart_policy(container, &indexed));
        if !seen.insert(container.name.as_str()) {
            errors.push(Error::duplicate(&indexed.child("name"), container.name.as_str()));
        }
        errors.extend(validate_host_ports(std::slice::from_ref(container), path));
        if container.restart_policy.as_deref() == Some("Always") {
            let grace_period = scope.spec.termination_grace_period_seconds;
            errors.extend(probes::validate(container, grace_period, &indexed));
        } else {
            errors.extend(validate_runs_once(container, &indexed));
            errors.extend(validate_resize_once(container, scope.allowed, &indexed));
        }
    }
    errors
}

/// An init container that ends has nothing to be asked or told while it runs.
fn validate_runs_once(container: &Container, path: &Path) -> ErrorList {
    let unfit = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    let detail = "may not be set for init containers without restartPolicy=Always";
    let unfit = unfit.into_iter().filter(|(_, is_set)| *is_set);
    unfit.map(|(name, _)| Error::forbidden(&path.child(name), detail)).collect()
}

/// Nor is it restarted to be resized.
fn validate_resize_once(container: &Container, allowed: &Allowed, path: &Path) -> ErrorList {
    let policies = container.resize_policy.iter().flatten().enumerate();
    let wrong = policies.filter(|(_, policy)| policy.restart_policy == "RestartContainer");
    let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
    let error = |(index, policy): (usize, &ContainerResizePolicy)| {
        let path = path.child("resizePolicy").index(index).child("restartPolicy");
        Error::invalid(&path, policy.restart_policy.as_str(), detail).named()
    };
    wrong.filter(|_| !allowed.resize_restarts).map(error).collect()
}

pub(super) fn validate_common(container: &Container, scope: &Scope<'_>, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let name = path.child("name");
    if container.name.is_empty() {
        errors.push(Error::required(&name, ""));
    } else {
        errors.extend(checks::dns_label(&container.name, &name));
    }
    if text(&container.image).is_empty() {
        errors.push(Error::required(&path.child("image"), ""));
    }
    let policy = container.termination_message_policy.as_deref();
    errors.extend(checks::one_of(policy, MESSAGE_POLICIES, &path.child("terminationMessagePolicy")));
    errors.extend(validate_ports(container.ports.as_deref().unwrap_or_default(), &path.child("ports")));
    errors.extend(environment::validate(container, path));
    errors.extend(mounts::validate(container, &scope.volumes, path));
    let pull_policy = container.image_pull_policy.as_deref();
    errors.extend(checks::one_of(pull_policy, PULL_POLICIES, &path.child("imagePullPolicy")));
    if let Some(requirements) = &container.resources {
        errors.extend(resources::validate_container(requirements, &scope.terms(), &path.child("resources")));
    }
    let resize = container.resize_policy.as_deref().unwrap_or_default();
    let pod_policy = text(&scope.spec.restart_policy);
    errors.extend(validate_resize(resize, pod_policy, &path.child("resizePolicy")));
    if let Some(context) = &container.security_context {
        errors.extend(security::validate_container(
            context,
            scope.host_users,
            &path.child("securityContext"),
        ));
    }
    errors
}

fn validate_ports(ports: &[ContainerPort], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(&port.name);
        if !name.is_empty() {
            let messages = names::port_name(name);
            if messages.is_empty() && !seen.insert(name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
            errors.extend(checks::each(&path.child("name"), name, messages));
        }
        match port.container_port {
            0 => errors.push(Error::required(&path.child("containerPort"), "")),
            number => errors.extend(checks::port_number(number, &path.child("containerPort"))),
        }
        if let Some(number) = port.host_port.filter(|&number| number != 0) {
            errors.extend(checks::port_number(number, &path.child("hostPort")));
        }
        errors.extend(checks::one_of(port.protocol.as_deref(), PROTOCOLS, &path.child("protocol")));
    }
    errors
}

fn validate_host_ports(containers: &[Container], path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let ports = container.ports.iter().flatten().enumerate();
        for (port_index, port) in ports.filter(|(_, port)| port.host_port.unwrap_or(0) != 0) {
            let number = port.host_port.unwrap_or(0);
            let key = format!("{}/{}/{number}", text(&port.protocol), text(&port.host_ip));
            let path = path.index(index).child("ports").index(port_index).child("hostPort");
            if seen.contains(&key) {
                errors.push(Error::duplicate(&path, key.as_str()));
            }
            seen.insert(key);
        }
    }
    errors
}

fn validate_resize(policies: &[ContainerResizePolicy], pod_policy: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, policy) in policies.iter().enumerate() {
        let resource = policy.resource_name.as_str();
        if policies[..index].iter().any(|other| other.resource_name == resource) {
            errors.push(Error::duplicate(&path.index(index), resource).named());
        }
        errors.extend(checks::one_of(Some(resource), &["cpu", "memory"], path));
        let restart = policy.restart_policy.as_str();
        errors.extend(checks::one_of(Some(restart), &["NotRequired", "RestartContainer"], path));
        if pod_policy == "Never" && restart != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(Error::invalid(path, restart, detail).named());
        }
    }
    errors
}

/// A container's own restart policy, and exceptions from it by exit code.
fn validate_restart_policy(container: &Container, path: &Path) -> ErrorList {
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    let policy_path = path.child("restartPolicy");
    let mut errors = ErrorList::new();
    match &container.restart_policy {
        Some(policy) => errors.extend(checks::supported_only(policy, RESTART_POLICIES, &policy_path)),
        None if rules.is_empty() => return errors,
        None => {
            let detail = "must specify restartPolicy when restart rules are used";
            errors.push(Error::required(&policy_path, detail));
        }
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > 20 {
        errors.push(Error::too_many(&path, rules.len(), 20));
    }
    for (index, rule) in rules.iter().enumerate() {
        errors.extend(validate_restart_rule(rule, &path.index(index)));
    }
    errors
}

/// Rules without a policy are not looked at.
fn validate_init_restart_policy(container: &Container, path: &Path) -> ErrorList {
    let mut errors = validate_restart_policy(container, path);
    if container.restart_policy.is_none() {
        errors.truncate(1);
    }
    errors
}

fn validate_restart_rule(rule: &ContainerRestartRule, path: &Path) -> ErrorList {
    let actions = &["Restart", "RestartAllContainers"];
    let mut errors = checks::supported_only(&rule.action, actions, &path.child("action"));
    let path = path.child("exitCodes");
    let Some(codes) = &rule.exit_codes else {
        errors.push(Error::required(&path, "must be specified"));
        return errors;
    };
    errors.extend(checks::supported_only(&codes.operator, &["In", "NotIn"], &path.child("operator")));
    let count = codes.values.as_ref().map_or(0, Vec::len);
    if count > 255 {
        errors.push(Error::too_many(&path.child("values"), count, 255));
    }
    errors
}

/// What holds of containers in pods but was let pass in templates.
pub(super) fn validate_for_pod(containers: &[Container], path: &Path) -> ErrorList {
    let containers = containers.iter().enumerate();
    containers
        .filter_map(|(index, container)| validate_image_padding(container, &path.index(index)))
        .collect()
}

pub(super) fn validate_image_padding(container: &Container, path: &Path) -> Option<Error> {
    let image = text(&container.image);
    let detail = "must not have leading or trailing whitespace";
    (image != image.trim()).then(|| Error::invalid(&path.child("image"), image, detail))
}
