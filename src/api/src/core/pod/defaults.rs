//! Defaulting of pods and pod templates (upstream: `SetDefaults_Pod`, `SetDefaults_PodSpec` and those of the parts).

mod containers;
mod image;
mod volumes;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::aggregate;
use super::ephemeral::with_container;
use crate::core::resources;
use crate::defaults;

/// Defaults of a pod: those of any spec, and those that would be in the way in a template.
pub(super) fn set_pod(spec: &mut PodSpec) {
    for container in all_containers(spec) {
        if let Some(resources) = &mut container.resources {
            requests_from_limits(resources);
        }
    }
    pod_level_limits(spec);
    pod_level_requests(spec);
    spec.enable_service_links.get_or_insert(true);
    if spec.host_network == Some(true) {
        host_ports(spec);
    }
    set_spec(spec);
}

/// Defaults of the spec of a pod or of a template.
pub(super) fn set_spec(spec: &mut PodSpec) {
    defaults::string(&mut spec.dns_policy, "ClusterFirst");
    defaults::string(&mut spec.restart_policy, "Always");
    defaults::string(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(30);
    service_account(spec);
    volumes::set_defaults(spec.volumes.as_deref_mut().unwrap_or_default());
    for container in all_containers(spec) {
        containers::set_defaults(container);
    }
    for ephemeral in spec.ephemeral_containers.iter_mut().flatten() {
        with_container(ephemeral, containers::set_defaults);
    }
    if let Some(resources) = &mut spec.resources {
        [&mut resources.limits, &mut resources.requests].into_iter().flatten().for_each(resources::round_up);
    }
    if let Some(overhead) = &mut spec.overhead {
        resources::round_up(overhead);
    }
}

fn all_containers(spec: &mut PodSpec) -> impl Iterator<Item = &mut Container> {
    spec.init_containers.iter_mut().flatten().chain(&mut spec.containers)
}

/// `serviceAccount` is the older name of `serviceAccountName`, which wins.
fn service_account(spec: &mut PodSpec) {
    let given = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    let name = given(&spec.service_account_name).or_else(|| given(&spec.service_account));
    spec.service_account.clone_from(&name);
    spec.service_account_name = name;
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    let Some(limits) = &resources.limits else { return };
    let requests = resources.requests.get_or_insert_default();
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

fn host_ports(spec: &mut PodSpec) {
    for port in all_containers(spec).flat_map(|container| container.ports.iter_mut().flatten()) {
        defaults::nonzero(&mut port.host_port, port.container_port);
    }
}

fn has_some(list: Option<&BTreeMap<String, Text>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// Huge pages that containers are limited to limit the pod as well.
fn pod_level_limits(spec: &mut PodSpec) {
    let Some(resources) = &spec.resources else { return };
    if !has_some(resources.limits.as_ref()) && !has_some(resources.requests.as_ref()) {
        return;
    }
    let aggregated = aggregate::limits(spec).into_iter().filter(|(name, _)| resources::is_huge_page(name));
    let aggregated: Vec<_> = aggregated.collect();
    let Some(resources) = &mut spec.resources else { return };
    for (name, limit) in aggregated {
        let is_requested = resources.requests.as_ref().is_some_and(|requests| requests.contains_key(&name));
        if !is_requested {
            let limits = resources.limits.get_or_insert_default();
            limits.entry(name).or_insert_with(|| Text(limit.to_string()));
        }
    }
}

/// A pod that is limited as a whole requests what its containers do, else its limits.
fn pod_level_requests(spec: &mut PodSpec) {
    if !has_some(spec.resources.as_ref().and_then(|resources| resources.limits.as_ref())) {
        return;
    }
    let is_shared = |name: &str| resources::is_for_pods(name) && resources::is_overcommit_allowed(name);
    let aggregated = aggregate::requests(spec);
    let Some(resources) = &mut spec.resources else { return };
    let limits = resources.limits.clone().unwrap_or_default();
    let mut requests = resources.requests.take().unwrap_or_default();
    for (name, request) in aggregated.into_iter().filter(|(name, _)| is_shared(name)) {
        requests.entry(name).or_insert_with(|| Text(request.to_string()));
    }
    for (name, limit) in limits.into_iter().filter(|(name, _)| resources::is_for_pods(name)) {
        requests.entry(name).or_insert(limit);
    }
    resources.requests = (!requests.is_empty()).then_some(requests);
}
