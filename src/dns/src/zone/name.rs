//! Where in the zone a name is.

use std::net::IpAddr;

use hickory_proto::rr::Name;

/// A service, by namespace and name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceName {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A service's port by name and protocol, in lower case, without underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortName {
    pub(super) port: String,
    pub(super) protocol: String,
}

/// What a name in the zone may be the name of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The zone itself.
    Origin,
    /// `dns-version`
    Version,
    /// `svc`, `pod`: always there, without records.
    Between,
    /// `<namespace>.svc`, `<namespace>.pod`
    Namespace(String),
    /// `<address with dashes>.<namespace>.pod`
    Pod { namespace: String, address: IpAddr },
    /// `<service>.<namespace>.svc`
    Service(ServiceName),
    /// `_<protocol>.<service>.<namespace>.svc`
    Protocol(ServiceName, String),
    /// `_<port>._<protocol>.<service>.<namespace>.svc`
    Port(ServiceName, PortName),
    /// `<host name>.<service>.<namespace>.svc`
    Endpoint(ServiceName, String),
    /// None of these.
    Nowhere,
}

/// The place of a name in a zone whose own name has so many labels.
pub(super) fn place(name: &Name, labels_of_zone: u8) -> Place {
    let labels: Vec<String> =
        name.iter().map(|label| String::from_utf8_lossy(label).to_lowercase()).collect();
    let below = &labels[..labels.len().saturating_sub(labels_of_zone.into())];
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    match below.as_slice() {
        [] => Place::Origin,
        ["dns-version"] => Place::Version,
        ["svc" | "pod"] => Place::Between,
        [namespace, "svc" | "pod"] => Place::Namespace((*namespace).to_owned()),
        [address, namespace, "pod"] => pod(address, namespace),
        [before @ .., name, namespace, "svc"] => {
            let service = ServiceName { namespace: (*namespace).to_owned(), name: (*name).to_owned() };
            at_service(service, before)
        }
        _ => Place::Nowhere,
    }
}

fn at_service(service: ServiceName, before: &[&str]) -> Place {
    let plain = |label: &str| label.strip_prefix('_').map(str::to_owned);
    match before {
        [] => Place::Service(service),
        [label] => match plain(label) {
            Some(protocol) => Place::Protocol(service, protocol),
            None => Place::Endpoint(service, (*label).to_owned()),
        },
        [port, protocol] => match (plain(port), plain(protocol)) {
            (Some(port), Some(protocol)) => Place::Port(service, PortName { port, protocol }),
            _ => Place::Nowhere,
        },
        _ => Place::Nowhere,
    }
}

fn pod(dashed: &str, namespace: &str) -> Place {
    let address = dashed.replace('-', ".").parse().map(IpAddr::V4);
    let address = address.or_else(|_| dashed.replace('-', ":").parse().map(IpAddr::V6));
    match address {
        Ok(address) => Place::Pod { namespace: namespace.to_owned(), address },
        Err(_) => Place::Nowhere,
    }
}
