//! Endpoints (upstream: `pkg/registry/core/endpoint`, `ValidateEndpoints`).

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::table::Column;
use serde_json::Value;

use crate::kind::Kind;
use crate::{cells, checks};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";

impl Kind for Endpoints {
    const SINGULAR: &'static str = "endpoints";
    const SHORT_NAMES: &'static [&'static str] = &["ep"];
    const NAMESPACED: bool = true;
    const DEPRECATION: Option<&'static str> =
        Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn set_defaults(&mut self) {
        let subsets = self.subsets.iter_mut().flatten();
        for port in subsets.flat_map(|subset| subset.ports.iter_mut().flatten()) {
            if port.protocol.as_deref().unwrap_or_default().is_empty() {
                port.protocol = Some("TCP".to_owned());
            }
        }
    }

    fn validate(&self) -> ErrorList {
        let path = Path::new("subsets");
        let subsets = self.subsets.iter().flatten().enumerate();
        subsets.flat_map(|(index, subset)| validate_subset(subset, &path.index(index))).collect()
    }

    /// Subsets that were stored under older rules may stay.
    fn validate_update(&self, old: &Self) -> ErrorList {
        let mut errors = checks::metadata_update(self, old);
        errors.extend(checks::metadata(self));
        if self.subsets != old.subsets {
            errors.extend(self.validate());
        }
        errors
    }

    fn warnings(&self, _old: Option<&Self>) -> Vec<String> {
        if is_from_controller(self) {
            return vec![];
        }
        let mut warnings = vec![];
        for (index, subset) in self.subsets.iter().flatten().enumerate() {
            let path = Path::new("subsets").index(index);
            for (name, addresses) in both(subset) {
                for (index, address) in addresses.iter().enumerate() {
                    let path = path.child(name).index(index).child("ip");
                    warnings.extend(checks::ip_warnings(&address.ip, &path));
                }
            }
        }
        warnings
    }

    fn columns() -> Vec<Column> {
        vec![
            cells::name(),
            cells::column("Endpoints", "string", "Addresses and ports that are ready."),
            cells::age(),
        ]
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name_of(&self.metadata),
            Value::from(shown(self.subsets.as_deref().unwrap_or_default())),
            cells::age_of(&self.metadata, now),
        ]
    }
}

fn is_from_controller(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == "endpoint-controller")
}

fn both(subset: &EndpointSubset) -> [(&'static str, &[EndpointAddress]); 2] {
    [
        ("addresses", subset.addresses.as_deref().unwrap_or_default()),
        ("notReadyAddresses", subset.not_ready_addresses.as_deref().unwrap_or_default()),
    ]
}

fn validate_subset(subset: &EndpointSubset, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let addresses = both(subset);
    if addresses.iter().all(|(_, addresses)| addresses.is_empty()) {
        errors.push(Error::required(path, "must specify `addresses` or `notReadyAddresses`"));
    }
    for (name, addresses) in addresses {
        for (index, address) in addresses.iter().enumerate() {
            errors.extend(validate_address(address, &path.child(name).index(index)));
        }
    }
    let ports = subset.ports.as_deref().unwrap_or_default();
    for (index, port) in ports.iter().enumerate() {
        errors.extend(validate_port(port, ports.len() > 1, &path.child("ports").index(index)));
    }
    errors
}

fn validate_address(address: &EndpointAddress, path: &Path) -> ErrorList {
    let ip = path.child("ip");
    let mut errors = checks::legacy_ip(&address.ip, &ip);
    if let Some(hostname) = address.hostname.as_deref().filter(|hostname| !hostname.is_empty()) {
        errors.extend(checks::dns_label(hostname, &path.child("hostname")));
    }
    if let Some(node) = &address.node_name {
        errors.extend(checks::reference(node, &path.child("nodeName")));
    }
    errors.extend(checks::endpoint_ip(&address.ip, &ip));
    errors
}

fn validate_port(port: &EndpointPort, needs_name: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match port.name.as_deref().unwrap_or_default() {
        "" if needs_name => errors.push(Error::required(&path.child("name"), "")),
        "" => {}
        name => errors.extend(checks::dns_label(name, &path.child("name"))),
    }
    errors.extend(checks::port_number(port.port, &path.child("port")));
    errors.extend(checks::one_of(port.protocol.as_deref(), PROTOCOLS, &path.child("protocol")));
    if let Some(protocol) = &port.app_protocol {
        errors.extend(checks::qualified_name(protocol, &path.child("appProtocol")));
    }
    errors
}

/// The first three ready addresses with each port, and how many more there are.
fn shown(subsets: &[EndpointSubset]) -> String {
    if subsets.is_empty() {
        return cells::NONE.to_owned();
    }
    let all: Vec<String> = subsets.iter().flat_map(pairs).collect();
    cells::first_three(&all)
}

fn pairs(subset: &EndpointSubset) -> Vec<String> {
    let addresses = subset.addresses.as_deref().unwrap_or_default();
    let ports = subset.ports.as_deref().unwrap_or_default();
    if ports.is_empty() {
        return addresses.iter().map(|address| address.ip.clone()).collect();
    }
    ports.iter().flat_map(|port| addresses.iter().map(|address| joined(&address.ip, port.port))).collect()
}

fn joined(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, errors_of_update, object};

    #[test]
    fn addresses_and_ports_are_checked() {
        let check = errors_of::<Endpoints>;
        check(r#"{"subsets":[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"port":80}]}]}"#, &[]);
        check(
            r#"{"subsets":[{}]}"#,
            &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
        );
        check(
            r#"{"subsets":[{"addresses":[{"ip":"127.0.0.1"}],"ports":[{"port":80},{"port":0,"name":"a"}]}]}"#,
            &[
                "subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "subsets[0].ports[0].name: Required value",
                "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        );
    }

    #[test]
    fn unchanged_subsets_are_not_checked_again() {
        let stored = r#"{"subsets":[{"addresses":[{"ip":"127.0.0.1"}]}]}"#;
        errors_of_update::<Endpoints>(stored, stored, &[]);
    }

    #[test]
    fn the_table_shows_three_endpoints() {
        let shown = |json: &str| object::<Endpoints>(json).row(Timestamp::UNIX_EPOCH)[1].clone();
        assert_eq!(shown("{}"), "<none>");
        assert_eq!(
            shown(
                r#"{"subsets":[{"addresses":[{"ip":"1.1.1.1"},{"ip":"fd::1"}],"ports":[{"port":1},{"port":2}]}]}"#
            ),
            "1.1.1.1:1,[fd::1]:1,1.1.1.1:2 + 1 more..."
        );
    }
}
