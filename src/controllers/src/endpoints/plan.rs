//! The Endpoints that a Service is to have. Pure.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{EndpointAddress, EndpointPort, Endpoints, Pod, Service, ServicePort, ServiceSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use objects::pod;

use super::subsets::{self, Entry};
use crate::membership::{self, HEADLESS_LABEL, TRIGGER_TIME, annotate};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// The Endpoints to write, or `None` where `observed` is right already.
pub(super) fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    observed: Option<&Endpoints>,
    trigger_time: Option<Timestamp>,
) -> Option<Endpoints> {
    let spec = service.spec.as_ref()?;
    let entries = pods.iter().flat_map(|pod| entries(service, spec, pod)).collect();
    let (subsets, truncated) = subsets::truncate(subsets::repack(entries));
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    if membership::is_headless(spec) {
        labels.insert(HEADLESS_LABEL.into(), String::new());
    } else {
        labels.remove(HEADLESS_LABEL);
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());

    let mut wanted = observed.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    wanted.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
    wanted.metadata.labels = Some(labels);
    annotate(&mut wanted.metadata, OVER_CAPACITY, truncated.then(|| "truncated".to_owned()));
    if observed == Some(&wanted) {
        return None;
    }
    annotate(&mut wanted.metadata, TRIGGER_TIME, trigger_time.map(|time| time.to_string()));
    Some(wanted)
}

/// Whether this controller made the object.
pub(super) fn is_ours(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == MANAGER)
}

/// What one pod contributes: its address under every port of the Service that it has.
fn entries(service: &Service, spec: &ServiceSpec, pod: &Arc<Pod>) -> Vec<Entry> {
    let publish = spec.publish_not_ready_addresses == Some(true);
    let Some(ip) = address(spec, pod).filter(|_| membership::is_member(pod, publish)) else {
        return Vec::new();
    };
    let address = EndpointAddress {
        ip: ip.to_string(),
        hostname: membership::hostname(pod, service),
        node_name: Some(pod::node_name(pod).to_owned()).filter(|name| !name.is_empty()),
        target_ref: Some(membership::target(pod)),
    };
    let entry = |port| Entry { address: address.clone(), is_ready: publish || pod::is_ready(pod), port };
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && membership::is_headless(spec) {
        return vec![entry(None)];
    }
    let found =
        ports.iter().filter_map(|port| Some(endpoint_port(port, membership::target_port(pod, port)?)));
    found.map(|port| entry(Some(port))).collect()
}

/// The pod's address of the Service's first family.
fn address(spec: &ServiceSpec, pod: &Pod) -> Option<IpAddr> {
    let addresses = membership::addresses(pod);
    let family = spec.ip_families.as_ref().and_then(|families| families.first()).map(String::as_str);
    let v6 = match (family, spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok())) {
        (Some(family), _) => family == "IPv6",
        (None, Some(ip)) => ip.is_ipv6(),
        (None, None) => addresses.first()?.is_ipv6(),
    };
    addresses.into_iter().find(|address| address.is_ipv6() == v6)
}

fn endpoint_port(port: &ServicePort, number: i32) -> EndpointPort {
    EndpointPort {
        name: port.name.clone().filter(|name| !name.is_empty()),
        port: number,
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
        app_protocol: port.app_protocol.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(super) fn pod(name: &str, ip: &str, ready: bool, deleted: bool) -> Arc<Pod> {
        let ready = if ready { "True" } else { "False" };
        let time = deleted.then_some("2026-01-01T00:00:00Z");
        let pod = json!({
            "metadata": {"name": name, "namespace": "ns", "uid": name, "deletionTimestamp": time},
            "spec": {"containers": [], "nodeName": "node"},
            "status": {"podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": ready}]},
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    /// Compares `ready addresses / not ready addresses : ports` of each subset.
    fn check(spec: Value, pods: &[Arc<Pod>], expected: &[&str]) {
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "ns"}, "spec": spec}))
                .unwrap();
        let endpoints = plan(&service, pods, None, None).unwrap();
        let addresses = |addresses: &Option<Vec<EndpointAddress>>| {
            let addresses: Vec<&str> =
                addresses.iter().flatten().map(|address| address.ip.as_str()).collect();
            addresses.join(",")
        };
        let subsets: Vec<String> = endpoints
            .subsets
            .iter()
            .flatten()
            .map(|subset| {
                let ports: Vec<String> =
                    subset.ports.iter().flatten().map(|port| port.port.to_string()).collect();
                let (ready, not_ready) =
                    (addresses(&subset.addresses), addresses(&subset.not_ready_addresses));
                format!("{ready}/{not_ready}:{}", ports.join(","))
            })
            .collect();
        assert_eq!(subsets, expected);
        assert_eq!(
            plan(&service, pods, Some(&endpoints), None).map(|_| "changed"),
            None,
            "the plan is stable"
        );
    }

    #[test]
    fn ready_pods_and_others_stand_apart_and_ending_ones_are_left_out() {
        let pods = [pod("a", "10.0.0.2", true, false), pod("b", "10.0.0.1", false, false)];
        let ports =
            json!([{"port": 80, "targetPort": 8080}, {"port": 443, "name": "tls", "targetPort": 8443}]);
        check(json!({"ports": ports, "clusterIP": "1.1.1.1"}), &pods, &["10.0.0.2/10.0.0.1:8080,8443"]);
        let ending = [pod("a", "10.0.0.2", true, true)];
        check(json!({"ports": ports, "clusterIP": "1.1.1.1"}), &ending, &[]);
    }

    #[test]
    fn publishing_not_ready_addresses_makes_all_ready() {
        let pods = [pod("a", "10.0.0.2", false, true)];
        let spec = json!({"ports": [{"port": 80}], "publishNotReadyAddresses": true, "clusterIP": "None"});
        check(spec, &pods, &["10.0.0.2/:80"]);
    }

    #[test]
    fn a_headless_service_needs_no_ports() {
        check(json!({"clusterIP": "None"}), &[pod("a", "10.0.0.2", true, false)], &["10.0.0.2/:"]);
    }
}
