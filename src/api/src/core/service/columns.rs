//! The table of services (upstream: `printService`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::jiff::Timestamp;
use machinery::table::Column;
use serde_json::Value;

use super::{cluster_ips, type_of};
use crate::cells::{self, NONE};
use crate::checks;

pub(super) fn columns() -> Vec<Column> {
    vec![
        cells::name(),
        cells::column("Type", "string", "How the service is reached."),
        cells::column("Cluster-IP", "string", "Address within the cluster."),
        cells::column("External-IP", "string", "Address from outside."),
        cells::column("Port(s)", "string", "Ports, with node ports."),
        cells::age(),
        cells::wide("Selector", "string", "Which pods are meant."),
    ]
}

pub(super) fn row(service: &Service, now: Timestamp) -> Vec<Value> {
    let unset = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&unset);
    let ports: Vec<String> = spec.ports.iter().flatten().map(port).collect();
    vec![
        cells::name_of(&service.metadata),
        Value::from(type_of(spec)),
        cells::text_or_none(cluster_ips(spec).first().map(String::as_str)),
        external(service, spec).into(),
        cells::text_or_none(Some(&ports.join(","))),
        cells::age_of(&service.metadata, now),
        selector(spec).into(),
    ]
}

fn port(port: &ServicePort) -> String {
    let protocol = checks::text(&port.protocol);
    match port.node_port {
        Some(node_port) if node_port > 0 => format!("{}:{node_port}/{protocol}", port.port),
        _ => format!("{}/{protocol}", port.port),
    }
}

fn external(service: &Service, spec: &ServiceSpec) -> String {
    let external_ips = spec.external_ips.clone().unwrap_or_default();
    let joined =
        |ips: Vec<String>, empty: &str| if ips.is_empty() { empty.to_owned() } else { ips.join(",") };
    match type_of(spec) {
        "ClusterIP" | "NodePort" => joined(external_ips, NONE),
        "LoadBalancer" => joined([balancer(service), external_ips].concat(), "<pending>"),
        "ExternalName" => checks::text(&spec.external_name).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn balancer(service: &Service) -> Vec<String> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    let addresses = ingress.filter_map(|ingress| {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        filled(&ingress.ip).or_else(|| filled(&ingress.hostname))
    });
    Vec::from_iter(addresses.collect::<BTreeSet<_>>())
}

fn selector(spec: &ServiceSpec) -> String {
    cells::labels(spec.selector.as_ref())
}
