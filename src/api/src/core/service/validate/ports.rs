//! The ports of a service.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::field::{Error, ErrorList, Path};
use machinery::json::Tree;

use super::super::{is_headless, type_of};
use crate::checks::{self, text};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

fn ports(spec: &ServiceSpec) -> &[ServicePort] {
    spec.ports.as_deref().unwrap_or_default()
}

/// Only headless services and names of outside hosts do without ports.
pub(super) fn validate_present(spec: &ServiceSpec, path: &Path) -> Option<Error> {
    let needs_ports = !is_headless(spec) && type_of(spec) != "ExternalName";
    (ports(spec).is_empty() && needs_ports).then(|| Error::required(&path.child("ports"), ""))
}

pub(super) fn validate(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let all = ports(spec);
    let mut names = BTreeSet::new();
    let mut errors = ErrorList::new();
    for (index, port) in all.iter().enumerate() {
        let path = path.index(index);
        let name = text(&port.name);
        if name.is_empty() && all.len() > 1 {
            errors.push(Error::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            errors.extend(checks::dns_label(name, &path.child("name")));
            if !names.insert(name) {
                errors.push(Error::duplicate(&path.child("name"), name));
            }
        }
        errors.extend(validate_port(port, &path));
    }
    errors
}

fn validate_port(port: &ServicePort, path: &Path) -> ErrorList {
    let mut errors = checks::port_number(port.port, &path.child("port"));
    errors.extend(checks::one_of(port.protocol.as_deref(), PROTOCOLS, &path.child("protocol")));
    let target = port.target_port.as_ref().unwrap_or(&IntOrString::Int(0));
    errors.extend(checks::port_number_or_name(target, &path.child("targetPort")));
    if let Some(protocol) = &port.app_protocol {
        errors.extend(checks::qualified_name(protocol, &path.child("appProtocol")));
    }
    errors
}

/// Node ports fit the type and are each used once per protocol.
pub(super) fn validate_node_ports(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    let used = ports(spec).iter().enumerate().filter(|(_, port)| port.node_port.unwrap_or(0) != 0);
    for (index, port) in used {
        let path = path.index(index).child("nodePort");
        if type_of(spec) == "ClusterIP" {
            errors.push(Error::forbidden(&path, "may not be used when `type` is 'ClusterIP'"));
        }
        if !seen.insert((port.node_port, text(&port.protocol))) {
            errors.push(Error::duplicate(&path, port.node_port));
        }
    }
    errors
}

/// No two ports have number and protocol in common.
pub(super) fn validate_unique(spec: &ServiceSpec, path: &Path) -> ErrorList {
    let mut seen = BTreeSet::new();
    let ports = ports(spec).iter().enumerate();
    let repeated = ports.filter(|(_, port)| !seen.insert((port.port, text(&port.protocol))));
    repeated.map(|(index, port)| Error::duplicate(&path.index(index), shown(port))).collect()
}

/// Upstream shows number and protocol only.
fn shown(port: &ServicePort) -> Tree<'static> {
    let port = ServicePort {
        port: port.port,
        protocol: port.protocol.clone(),
        target_port: Some(IntOrString::Int(0)),
        ..Default::default()
    };
    checks::internal("io.k8s.api.core.v1.ServicePort", &port)
}
