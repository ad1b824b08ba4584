//! Validation of endpoint slices (upstream: `pkg/apis/discovery/validation`).

use std::collections::BTreeSet;

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointPort, EndpointSlice};
use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks;

const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_ENDPOINTS: usize = 1000;
const MAX_HINTS: usize = 8;

pub(super) fn validate(slice: &EndpointSlice) -> ErrorList {
    let mut errors = validate_type_and_ports(slice);
    errors.extend(validate_endpoints(slice));
    errors
}

/// Endpoints that were stored under older rules may stay.
pub(super) fn validate_update(new: &EndpointSlice, old: &EndpointSlice) -> ErrorList {
    let mut errors = validate_type_and_ports(new);
    if !same_endpoints(new, old) {
        errors.extend(validate_endpoints(new));
    }
    errors
}

fn same_endpoints(new: &EndpointSlice, old: &EndpointSlice) -> bool {
    let (new, old) =
        (new.endpoints.as_deref().unwrap_or_default(), old.endpoints.as_deref().unwrap_or_default());
    new.len() == old.len()
        && new.iter().zip(old).all(|(new, old)| checks::same("io.k8s.api.discovery.v1.Endpoint", new, old))
}

fn validate_type_and_ports(slice: &EndpointSlice) -> ErrorList {
    let mut errors = checks::one_of(Some(&slice.address_type), ADDRESS_TYPES, &Path::new("addressType"));
    let path = Path::new("ports");
    let ports = slice.ports.as_deref().unwrap_or_default();
    if ports.len() > MAX_PORTS {
        errors.push(Error::too_many(&path, ports.len(), MAX_PORTS));
        return errors;
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = checks::text(&port.name);
        if !name.is_empty() {
            errors.extend(checks::dns_label(name, &path.child("name")));
        }
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name).named());
        }
        errors.extend(validate_protocols(port, &path));
    }
    errors
}

fn validate_protocols(port: &EndpointPort, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    match &port.protocol {
        None => errors.push(Error::required(&path.child("protocol"), "")),
        Some(protocol) => {
            errors.extend(checks::supported_only(protocol, PROTOCOLS, &path.child("protocol")));
        }
    }
    if let Some(protocol) = &port.app_protocol {
        errors.extend(checks::qualified_name(protocol, &path.child("appProtocol")));
    }
    errors
}

fn validate_endpoints(slice: &EndpointSlice) -> ErrorList {
    let path = Path::new("endpoints");
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    if endpoints.len() > MAX_ENDPOINTS {
        return vec![Error::too_many(&path, endpoints.len(), MAX_ENDPOINTS)];
    }
    let endpoints = endpoints.iter().enumerate();
    endpoints
        .flat_map(|(index, endpoint)| validate_endpoint(endpoint, &slice.address_type, &path.index(index)))
        .collect()
}

fn validate_endpoint(endpoint: &Endpoint, address_type: &str, path: &Path) -> ErrorList {
    let addresses = path.child("addresses");
    let mut errors = ErrorList::new();
    match endpoint.addresses.len() {
        0 => errors.push(Error::required(&addresses, "must contain at least 1 address")),
        count if count > MAX_ADDRESSES => errors.push(Error::too_many(&addresses, count, MAX_ADDRESSES)),
        _ => {}
    }
    for (index, address) in endpoint.addresses.iter().enumerate() {
        errors.extend(validate_address(address, address_type, &addresses, index));
    }
    if let Some(node) = &endpoint.node_name {
        errors.extend(checks::reference(node, &path.child("nodeName")));
    }
    if let Some(hostname) = &endpoint.hostname {
        errors.extend(checks::dns_label(hostname, &path.child("hostname")));
    }
    if let Some(hints) = &endpoint.hints {
        errors.extend(validate_hints(hints, &path.child("hints")));
    }
    errors
}

fn validate_address(address: &str, address_type: &str, addresses: &Path, index: usize) -> ErrorList {
    let path = addresses.index(index);
    let wants_v4 = match address_type {
        "IPv4" => true,
        "IPv6" => false,
        "FQDN" => return fully_qualified(address, &path),
        _ => return ErrorList::new(),
    };
    let mut errors =
        if wants_v4 { checks::legacy_ip(address, &path) } else { checks::strict_ip(address, &path) };
    let Some(parsed) = checks::parse_ip(address).filter(|_| errors.is_empty()) else { return errors };
    if parsed.to_canonical().is_ipv4() != wants_v4 {
        let detail = if wants_v4 { "must be an IPv4 address" } else { "must be an IPv6 address" };
        errors.push(Error::invalid(addresses, address, detail));
    }
    errors.extend(checks::endpoint_ip(address, &path));
    errors
}

fn fully_qualified(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let errors = checks::dns_subdomain(name, path);
    if errors.is_empty() && !name.contains('.') {
        return vec![Error::invalid(
            path,
            name,
            "should be a domain with at least two segments separated by dots",
        )];
    }
    errors
}

fn validate_hints(hints: &EndpointHints, path: &Path) -> ErrorList {
    let zones = hints.for_zones.iter().flatten().map(|zone| zone.name.as_str()).collect();
    let nodes = hints.for_nodes.iter().flatten().map(|node| node.name.as_str()).collect();
    let mut errors = validate_names(zones, names::label_value, &path.child("forZones"));
    errors.extend(validate_names(nodes, names::dns1123_subdomain, &path.child("forNodes")));
    errors
}

fn validate_names(given: Vec<&str>, messages: fn(&str) -> Vec<String>, path: &Path) -> ErrorList {
    if given.len() > MAX_HINTS {
        return vec![Error::too_many(path, given.len(), MAX_HINTS)];
    }
    let mut seen = BTreeSet::new();
    let mut errors = ErrorList::new();
    for (index, name) in given.into_iter().enumerate() {
        let path = path.index(index).child("name");
        if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
        errors.extend(checks::each(&path, name, messages(name)));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, errors_of_update};

    #[test]
    fn addresses_fit_their_type() {
        let check = errors_of::<EndpointSlice>;
        check(r#"{"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}]}"#, &[]);
        check(r#"{"addressType":"IPv6","endpoints":[{"addresses":["fd00::1"]}]}"#, &[]);
        check(r#"{"addressType":"FQDN","endpoints":[{"addresses":["a.example."]}]}"#, &[]);
        check(
            r#"{"addressType":"IPv4","endpoints":[{"addresses":["fd00::1"]},{"addresses":[]}]}"#,
            &[
                "endpoints[0].addresses: Invalid value: \"fd00::1\": must be an IPv4 address",
                "endpoints[1].addresses: Required value: must contain at least 1 address",
            ],
        );
        check("{}", &["addressType: Required value"]);
        check(
            r#"{"addressType":"ipx"}"#,
            &["addressType: Unsupported value: \"ipx\": supported values: \"FQDN\", \"IPv4\", \"IPv6\""],
        );
    }

    #[test]
    fn ports_are_told_apart_by_name() {
        errors_of::<EndpointSlice>(
            r#"{"addressType":"IPv4","ports":[{"port":1},{"port":2}]}"#,
            &["ports[1].name: Duplicate value: \"\""],
        );
    }

    #[test]
    fn the_type_cannot_change() {
        errors_of_update::<EndpointSlice>(
            r#"{"addressType":"IPv4"}"#,
            r#"{"addressType":"IPv6"}"#,
            &["addressType: Invalid value: \"IPv6\": field is immutable"],
        );
    }
}
