//! What the proxy should do for one service: from a Service and its EndpointSlices to fronts and their targets.
//!
//! Pure. The choice of endpoints follows upstream's `pkg/proxy/topology.go`: those that are ready; where none is, those
//! that are terminating but still serve.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddrV4},
    sync::Arc,
};

use k8s_openapi::api::{
    core::v1::{Service, ServicePort, ServiceSpec},
    discovery::v1::{Endpoint, EndpointConditions, EndpointSlice},
};

use super::model::{Front, Manner, Protocol, Target};

/// Seconds of client affinity where the service names none.
const DEFAULT_AFFINITY_SECONDS: i32 = 10800;

/// The node that the proxy runs on.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: String,
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
        is_local(&spec.internal_traffic_policy).then_some(node),
        Manner { affinity_seconds: affinity_seconds(spec), keeps_source: false },
    );
    let keeps_source = is_local(&spec.external_traffic_policy);
    let external = target(
        &candidates,
        keeps_source.then_some(node),
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

/// Chooses among the candidates; with `only_on`, among those on that node.
fn target(candidates: &[Candidate<'_>], only_on: Option<&Node>, manner: Manner) -> Target {
    let eligible = |candidate: &&Candidate<'_>| match only_on {
        Some(node) => candidate.endpoint.node_name.as_ref() == Some(&node.name),
        None => true,
    };
    let allowed = usable(candidates.iter().filter(eligible));
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

/// Unknown counts as ready.
fn is_ready(conditions: &EndpointConditions) -> bool {
    conditions.ready.unwrap_or(true)
}

fn serves_while_terminating(conditions: &EndpointConditions) -> bool {
    conditions.serving.unwrap_or_else(|| is_ready(conditions)) && conditions.terminating.unwrap_or(false)
}

#[cfg(test)]
mod tests;
