//! The endpoints that a Service is to have, by address type and ports. Pure.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Pod, Service, ServiceSpec},
    discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone},
};
use objects::pod;

use crate::membership;

/// What the endpoints of one slice have in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) address_type: &'static str,
    pub(super) ports: Vec<EndpointPort>,
    /// By pod UID.
    pub(super) endpoints: BTreeMap<String, Endpoint>,
}

/// The endpoints of `service`, grouped. Every address type that the Service has is there, be it without endpoints.
pub(super) fn desired(
    service: &Service,
    pods: &[Arc<Pod>],
    zone_of: impl Fn(&str) -> Option<String>,
) -> Vec<Group> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let mut groups = Vec::new();
    for address_type in address_types(spec, pods) {
        let before = groups.len();
        for pod in pods.iter().filter(|pod| membership::is_member(pod, true)) {
            let addresses = addresses(pod, address_type);
            if addresses.is_empty() {
                continue;
            }
            let ports = ports(spec, pod);
            let place = groups[before..].iter().position(|group: &Group| group.ports == ports);
            let place = place.map_or(groups.len(), |place| before + place);
            if place == groups.len() {
                groups.push(Group { address_type, ports, endpoints: BTreeMap::new() });
            }
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            groups[place].endpoints.insert(uid, endpoint(service, spec, pod, addresses, &zone_of));
        }
        if groups.len() == before {
            groups.push(Group { address_type, ports: Vec::new(), endpoints: BTreeMap::new() });
        }
    }
    groups
}

fn address_types(spec: &ServiceSpec, pods: &[Arc<Pod>]) -> Vec<&'static str> {
    let name = |v6: bool| if v6 { "IPv6" } else { "IPv4" };
    let mut types: Vec<&'static str> =
        spec.ip_families.iter().flatten().map(|family| name(family == "IPv6")).collect();
    if types.is_empty() {
        let own = spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        let any = own.or_else(|| pods.iter().find_map(|pod| membership::addresses(pod).first().copied()));
        types.push(name(any.is_some_and(|ip| ip.is_ipv6())));
    }
    types
}

fn addresses(pod: &Pod, address_type: &str) -> Vec<String> {
    let matching = membership::addresses(pod).into_iter().find(|ip| ip.is_ipv6() == (address_type == "IPv6"));
    matching.map(|ip| ip.to_string()).into_iter().collect()
}

fn ports(spec: &ServiceSpec, pod: &Pod) -> Vec<EndpointPort> {
    let found = spec.ports.iter().flatten().filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(membership::target_port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    found.collect()
}

fn endpoint(
    service: &Service,
    spec: &ServiceSpec,
    pod: &Pod,
    addresses: Vec<String>,
    zone_of: &impl Fn(&str) -> Option<String>,
) -> Endpoint {
    let (serving, terminating) = (pod::is_ready(pod), pod.metadata.deletion_timestamp.is_some());
    let publish = spec.publish_not_ready_addresses == Some(true);
    let node = Some(pod::node_name(pod)).filter(|node| !node.is_empty());
    let ready = publish || (serving && !terminating);
    let zone = node.and_then(zone_of);
    Endpoint {
        addresses,
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: membership::hostname(pod, service),
        node_name: node.map(str::to_owned),
        target_ref: Some(membership::target(pod)),
        hints: if ready { hints(spec, node, zone.as_deref()) } else { None },
        zone,
        ..Endpoint::default()
    }
}

/// For whom an endpoint is meant, where the service wants connections to stay near (upstream: `endpointslice/trafficdist`).
fn hints(spec: &ServiceSpec, node: Option<&str>, zone: Option<&str>) -> Option<EndpointHints> {
    let by_node = match spec.traffic_distribution.as_deref()? {
        "PreferSameNode" => true,
        "PreferClose" | "PreferSameZone" => false,
        _ => return None,
    };
    let for_zones = zone.map(|name| vec![ForZone { name: name.to_owned() }]);
    let for_nodes = node.filter(|_| by_node).map(|name| vec![ForNode { name: name.to_owned() }]);
    (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}
