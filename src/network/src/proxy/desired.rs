//! What the proxy should do for one service: from a Service and its EndpointSlices to fronts and their targets.
//!
//! Pure. The choice of endpoints follows upstream's `pkg/proxy/topology.go`: those that are ready, of these the near ones
//! where hints ask for that; where none is ready, those that are terminating but still serve.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1::{Service, ServicePort, ServiceSpec},
    discovery::v1::{Endpoint, EndpointConditions, EndpointSlice},
};

use super::health_checks::Check;
use super::model::{Front, Manner, Protocol, Target};
use super::topology::Nearness;

/// Seconds of client affinity where the service names none.
const DEFAULT_AFFINITY_SECONDS: i32 = 10800;

/// The node that the proxy runs on.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: String,
    /// The zone that its label names.
    pub(super) zone: Option<String>,
    /// Its address; node ports are served on it.
    pub(super) address: Ipv4Addr,
}

/// Every front of a service, and what is to become of connections to it.
pub(super) fn fronts(
    service: &Service,
    slices: &[Arc<EndpointSlice>],
    node: &Node,
) -> BTreeMap<Front, Target> {
    let Some(spec) = service.spec.as_ref().filter(|spec| is_proxied(spec)) else { return BTreeMap::new() };
    let ports = spec.ports.iter().flatten();
    ports.filter_map(|port| Some(fronts_of_port(spec, port, slices, node)?.into_iter())).flatten().collect()
}

/// Whether the service has addresses that traffic is to be led away from.
fn is_proxied(spec: &ServiceSpec) -> bool {
    let has_address = spec.cluster_ip.as_deref().is_some_and(|ip| !ip.is_empty() && ip != "None");
    has_address && spec.type_.as_deref() != Some("ExternalName")
}

fn fronts_of_port(
    spec: &ServiceSpec,
    port: &ServicePort,
    slices: &[Arc<EndpointSlice>],
    node: &Node,
) -> Option<Vec<(Front, Target)>> {
    let protocol = Protocol::parse(port.protocol.as_deref())?;
    let number = u16::try_from(port.port).ok()?;
    let candidates = candidates(slices, port, protocol);
    let is_local = |policy: &Option<String>| policy.as_deref() == Some("Local");

    let internal = target(
        &candidates,
        node,
        is_local(&spec.internal_traffic_policy),
        Manner { affinity_seconds: affinity_seconds(spec), keeps_source: false },
    );
    let keeps_source = is_local(&spec.external_traffic_policy);
    let external = target(
        &candidates,
        node,
        keeps_source,
        Manner { affinity_seconds: affinity_seconds(spec), keeps_source },
    );

    let front = |address, port| Front { address, protocol, port };
    let inside = spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok());
    let outside = spec.external_ips.iter().flatten().filter_map(|ip| ip.parse().ok());
    let node_port = port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    let fronts = inside.map(|address| (front(address, number), internal.clone()));
    let fronts = fronts.chain(outside.map(|address| (front(address, number), external.clone())));
    Some(fronts.chain(node_port.map(|port| (front(node.address, port), external.clone()))).collect())
}

fn affinity_seconds(spec: &ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = config.and_then(|client| client.timeout_seconds).unwrap_or(DEFAULT_AFFINITY_SECONDS);
    u32::try_from(seconds).ok()
}

/// One endpoint of the wanted port, with what decides about its use.
struct Candidate<'a> {
    endpoint: &'a Endpoint,
    port: u16,
}

/// The endpoints that offer the service's port, by the port's name.
fn candidates<'a>(
    slices: &'a [Arc<EndpointSlice>],
    port: &ServicePort,
    protocol: Protocol,
) -> Vec<Candidate<'a>> {
    let wanted = port.name.as_deref().unwrap_or_default();
    let mut candidates = Vec::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let offered = slice.ports.iter().flatten().find(|offered| {
            offered.name.as_deref().unwrap_or_default() == wanted
                && Protocol::parse(offered.protocol.as_deref()) == Some(protocol)
        });
        let number = offered.and_then(|offered| u16::try_from(offered.port?).ok());
        let Some(port) = number else { continue };
        candidates.extend(slice.endpoints.iter().flatten().map(|endpoint| Candidate { endpoint, port }));
    }
    candidates
}

/// Chooses among the candidates: with a local policy among those on the node, otherwise among those that hints leave.
fn target(candidates: &[Candidate<'_>], node: &Node, is_local: bool, manner: Manner) -> Target {
    let allowed = if is_local {
        usable(candidates.iter().filter(|candidate| is_on(candidate.endpoint, node)))
    } else {
        let ready = candidates.iter().map(|candidate| candidate.endpoint).filter(|one| one_is_ready(one));
        let nearness = Nearness::of(ready, node);
        let is_near = |candidate: &&Candidate<'_>| {
            !one_is_ready(candidate.endpoint) || nearness.allows(candidate.endpoint, node)
        };
        usable(candidates.iter().filter(is_near))
    };
    if !allowed.is_empty() {
        return Target::Spread { backends: allowed.into_iter().collect(), manner };
    }
    match usable(candidates.iter()).is_empty() {
        true => Target::Reject,
        false => Target::Drop,
    }
}

fn usable<'a>(candidates: impl Iterator<Item = &'a Candidate<'a>> + Clone) -> BTreeSet<SocketAddrV4> {
    let that_are = |wanted: fn(&EndpointConditions) -> bool| -> BTreeSet<SocketAddrV4> {
        candidates
            .clone()
            .filter(|candidate| wanted(&candidate.endpoint.conditions.clone().unwrap_or_default()))
            // Only the first address counts: upstream's rule for slices.
            .filter_map(|candidate| {
                Some((candidate.endpoint.addresses.first()?.parse().ok()?, candidate.port))
            })
            .map(|(address, port)| SocketAddrV4::new(address, port))
            .collect()
    };
    let ready = that_are(is_ready);
    if ready.is_empty() { that_are(serves_while_terminating) } else { ready }
}

/// What load balancers are to be told about a service that asks for it: how many addresses here are ready.
pub(super) fn health_check(service: &Service, slices: &[Arc<EndpointSlice>], node: &Node) -> Option<Check> {
    let spec = service.spec.as_ref()?;
    let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let is_asked = is_local && spec.type_.as_deref() == Some("LoadBalancer");
    let port = u16::try_from(spec.health_check_node_port?).ok().filter(|port| is_asked && *port != 0)?;
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|endpoint| is_on(endpoint, node) && one_is_ready(endpoint));
    let addresses: BTreeSet<&String> = ready.filter_map(|endpoint| endpoint.addresses.first()).collect();
    Some(Check { port, endpoints: addresses.len() })
}

fn is_on(endpoint: &Endpoint, node: &Node) -> bool {
    endpoint.node_name.as_ref() == Some(&node.name)
}

fn one_is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_none_or(is_ready)
}

/// Unknown counts as ready.
fn is_ready(conditions: &EndpointConditions) -> bool {
    conditions.ready.unwrap_or(true)
}

fn serves_while_terminating(conditions: &EndpointConditions) -> bool {
    conditions.serving.unwrap_or_else(|| is_ready(conditions)) && conditions.terminating.unwrap_or(false)
}

#[cfg(test)]
mod tests;
