//! The records of services, their ports and endpoints, and of pods.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::Hash,
    net::IpAddr,
};

use hickory_proto::rr::{
    Name, RData, Record, RecordType,
    rdata::{CNAME, SRV},
};
use k8s_openapi::api::{
    core::v1::{Service, ServiceSpec},
    discovery::v1::Endpoint,
};

use super::{
    Answer, TTL, Zone, address_records, exists,
    name::{PortName, ServiceName},
    one,
};
use crate::index::{Index, cluster_ips, hostname, is_headless};

/// All SRV records of an answer share this weight.
const TOTAL_WEIGHT: usize = 100;

/// `<a-b-c-d>.<namespace>.pod`: the address in it, whether or not a pod has it.
pub(super) fn pod(asked: &Name, address: IpAddr, wanted: RecordType) -> Answer {
    records(address_records(asked, wanted, [address].into_iter()), vec![])
}

/// `<service>.<namespace>.svc`
pub(super) fn service(
    zone: &Zone,
    asked: &Name,
    name: &ServiceName,
    wanted: RecordType,
    index: &Index,
) -> Answer {
    let Some((service, spec)) = find(name, index) else { return Answer::NoSuchName };
    if let Some(target) = external_name(spec) {
        let alias = Record::from_rdata(asked.clone(), TTL, RData::CNAME(CNAME(target.clone())));
        return match wanted {
            RecordType::CNAME => one(asked, alias.data),
            _ => Answer::Alias(Box::new(alias), target),
        };
    }
    // The specification says so, though the name has others below it.
    if is_headless(spec) && index.endpoints(&name.namespace, &name.name).next().is_none() {
        return Answer::NoSuchName;
    }
    if wanted == RecordType::SRV {
        return ports(zone, asked, name, |_| true, index);
    }
    let addresses: Vec<IpAddr> = match is_headless(spec) {
        true => endpoint_addresses(name, |_| true, index),
        false => cluster_ips(service).collect(),
    };
    records(address_records(asked, wanted, addresses.into_iter()), vec![])
}

/// `_<protocol>.<service>.<namespace>.svc`: there if the service has a named port of the protocol.
pub(super) fn protocol(name: &ServiceName, protocol: &str, index: &Index) -> Answer {
    let Some((_, spec)) = find_own(name, index) else { return Answer::NoSuchName };
    exists(ports_of(spec).any(|(port, _)| port.protocol == protocol))
}

/// `_<port>._<protocol>.<service>.<namespace>.svc`
pub(super) fn port(
    zone: &Zone,
    asked: &Name,
    name: &ServiceName,
    port: &PortName,
    wanted: RecordType,
    index: &Index,
) -> Answer {
    match ports(zone, asked, name, |own| own == port, index) {
        Answer::Records { answers, .. } if answers.is_empty() => Answer::NoSuchName,
        Answer::NoData => Answer::NoSuchName,
        _ if !matches!(wanted, RecordType::SRV | RecordType::ANY) => Answer::NoData,
        found => found,
    }
}

/// `<host name>.<service>.<namespace>.svc`
pub(super) fn endpoint(
    asked: &Name,
    name: &ServiceName,
    host: &str,
    wanted: RecordType,
    index: &Index,
) -> Answer {
    if find_own(name, index).is_none() {
        return Answer::NoSuchName;
    }
    let addresses = endpoint_addresses(name, |endpoint| hostname(endpoint) == host, index);
    match addresses.is_empty() {
        true => Answer::NoSuchName,
        false => records(address_records(asked, wanted, addresses.into_iter()), vec![]),
    }
}

/// The names that lead to an address: of the service that has it, or of the endpoints of headless services.
pub(super) fn names_of(zone: &Zone, address: IpAddr, index: &Index) -> Vec<Name> {
    if let Some(service) = index.service_at(address) {
        return zone.below(&[&service.name, &service.namespace, "svc"]).into_iter().collect();
    }
    let endpoints = index.endpoints_at(address).filter(|(service, _)| {
        let service = index.service(&service.namespace, &service.name);
        service.and_then(|service| service.spec.as_ref()).is_some_and(is_headless)
    });
    let name = |(service, endpoint): (client::Key, &Endpoint)| {
        zone.below(&[&hostname(endpoint), &service.name, &service.namespace, "svc"])
    };
    distinct(endpoints.filter_map(name))
}

fn find<'a>(name: &ServiceName, index: &'a Index) -> Option<(&'a Service, &'a ServiceSpec)> {
    let service = index.service(&name.namespace, &name.name)?;
    Some((service, service.spec.as_ref()?))
}

/// A service that has ports and endpoints of its own: one that only stands for another name has nothing below it.
fn find_own<'a>(name: &ServiceName, index: &'a Index) -> Option<(&'a Service, &'a ServiceSpec)> {
    find(name, index).filter(|(_, spec)| external_name(spec).is_none())
}

fn external_name(spec: &ServiceSpec) -> Option<Name> {
    if spec.type_.as_deref() != Some("ExternalName") {
        return None;
    }
    let mut target = Name::from_ascii(spec.external_name.as_deref()?).ok()?;
    target.set_fqdn(true);
    Some(target)
}

fn endpoint_addresses(
    name: &ServiceName,
    is_wanted: impl Fn(&Endpoint) -> bool,
    index: &Index,
) -> Vec<IpAddr> {
    let endpoints = index.endpoints(&name.namespace, &name.name).map(|(_, endpoint)| endpoint);
    let addresses = endpoints.filter(|endpoint| is_wanted(endpoint)).flat_map(|endpoint| &endpoint.addresses);
    distinct(addresses.filter_map(|address| address.parse().ok()))
}

/// Each once, at its first place. An endpoint is in two slices while it moves, and those on the host's network share
/// its address; but records are a set.
fn distinct<T: Clone + Eq + Hash>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

/// The named ports of a service and their numbers.
fn ports_of(spec: &ServiceSpec) -> impl Iterator<Item = (PortName, u16)> {
    spec.ports.iter().flatten().filter_map(|port| {
        let name = port.name.as_deref().filter(|name| !name.is_empty())?;
        Some((port_name(name, port.protocol.as_deref()), u16::try_from(port.port).ok()?))
    })
}

fn port_name(port: &str, protocol: Option<&str>) -> PortName {
    PortName { port: port.to_lowercase(), protocol: protocol.unwrap_or("TCP").to_lowercase() }
}

/// The SRV records of the wanted ports: of the service, or of each endpoint where it is headless.
fn ports(
    zone: &Zone,
    asked: &Name,
    name: &ServiceName,
    is_wanted: impl Fn(&PortName) -> bool,
    index: &Index,
) -> Answer {
    let Some((service, spec)) = find_own(name, index) else { return Answer::NoSuchName };
    let mut targets = Targets::default();
    if is_headless(spec) {
        for (slice, endpoint) in index.endpoints(&name.namespace, &name.name) {
            let target = zone.below(&[&hostname(endpoint), &name.name, &name.namespace, "svc"]);
            let Some(target) = target else { continue };
            let addresses = endpoint.addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok());
            targets.addresses.entry(target.clone()).or_default().extend(addresses);
            for port in slice.ports.iter().flatten() {
                let Some(own) = port.name.as_deref().filter(|name| !name.is_empty()) else { continue };
                let number = port.port.and_then(|number| u16::try_from(number).ok());
                if let Some(number) = number.filter(|_| is_wanted(&port_name(own, port.protocol.as_deref())))
                {
                    targets.ports.push((number, target.clone()));
                }
            }
        }
    } else if let Some(target) = zone.below(&[&name.name, &name.namespace, "svc"]) {
        targets.addresses.insert(target.clone(), cluster_ips(service).collect());
        let wanted = ports_of(spec).filter(|(own, _)| is_wanted(own));
        targets.ports.extend(wanted.map(|(_, number)| (number, target.clone())));
    }
    targets.answer(asked)
}

/// Ports at names, and the addresses of the names.
#[derive(Default)]
struct Targets {
    ports: Vec<(u16, Name)>,
    addresses: BTreeMap<Name, BTreeSet<IpAddr>>,
}

impl Targets {
    fn answer(self, asked: &Name) -> Answer {
        let ports = distinct(self.ports.into_iter());
        let weight = u16::try_from((TOTAL_WEIGHT / ports.len().max(1)).max(1)).unwrap_or(1);
        let record = |(port, target): &(u16, Name)| {
            Record::from_rdata(asked.clone(), TTL, RData::SRV(SRV::new(0, weight, *port, target.clone())))
        };
        let answers: Vec<Record> = ports.iter().map(record).collect();
        if answers.is_empty() {
            return Answer::NoData;
        }
        let additionals = self
            .addresses
            .into_iter()
            .flat_map(|(target, addresses)| address_records(&target, RecordType::ANY, addresses.into_iter()));
        Answer::Records { answers, additionals: additionals.collect() }
    }
}

fn records(answers: Vec<Record>, additionals: Vec<Record>) -> Answer {
    if answers.is_empty() { Answer::NoData } else { Answer::Records { answers, additionals } }
}
