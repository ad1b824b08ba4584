//! Addresses and ports of Services: what is asked for is checked, what is left open is chosen.
//!
//! `claims` knows what is taken, `reserve` makes sure of it beside other servers, `repair` mends what was left half done.
//! This file chooses and judges; it stores nothing.

mod claims;
mod repair;
mod reservations;
mod reserve;

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use api::{Descriptor, Object};
use async_trait::async_trait;
use claims::{Claim, Claims, Hold};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use machinery::Status;
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;
use rand::Rng;
use repair::Suspects;
use reservations::Reservations;
use store::{Key, Store};

use crate::admission::{Attributes, Operation, Plugin};

pub(crate) use repair::PATIENCE;
pub(crate) use reserve::reserve;

/// Upstream's `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<i32> = 30000..=32767;
/// So many of them, the first, are drawn only when no others are left: they are for those who ask for one (upstream
/// `portallocator`, `calculateRangeOffset` of this range).
const ASKED_FOR: i32 = 86;
/// Random tries before the range is searched in order.
const TRIES: usize = 32;
const PORT_TAKEN: &str = "provided port is already allocated";
/// Upstream never uses more of a range.
const MOST_ADDRESSES: u128 = 1 << 20;

/// The allocator.
pub(crate) struct Addresses {
    range: IpNet,
    claims: Claims,
    reservations: Reservations,
    suspects: Mutex<Suspects>,
}

impl Addresses {
    /// An allocator of a range; `address` is the kind of which reserved addresses are.
    pub(crate) fn new(store: Store, range: IpNet, address: Arc<Descriptor>) -> Addresses {
        let reservations = Reservations::new(store.clone(), address);
        Addresses { range, claims: Claims::new(store), reservations, suspects: Mutex::default() }
    }

    /// The address at an offset in the service range.
    pub(crate) fn nth(range: &IpNet, offset: u128) -> IpAddr {
        match range.network() {
            IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits() + offset as u32).into(),
            IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits() + offset).into(),
        }
    }

    /// How many addresses can be used: not the network's and, for IPv4, not the broadcast address.
    fn size(&self) -> u128 {
        let bits = u32::from(self.range.max_prefix_len() - self.range.prefix_len());
        let all = 1u128.checked_shl(bits).unwrap_or(u128::MAX).min(MOST_ADDRESSES);
        let broadcast = u128::from(matches!(self.range, IpNet::V4(_)));
        all.saturating_sub(1 + broadcast)
    }

    /// Whether a service may have an address: the network's belongs to nobody, nor does IPv4's broadcast address.
    fn is_usable(&self, ip: &IpAddr) -> bool {
        let is_broadcast = ip.is_ipv4() && *ip == self.range.broadcast();
        self.range.contains(ip) && *ip != self.range.network() && !is_broadcast
    }

    /// A free address: from the range's upper part first, which leaves the lower one to those who ask for an address.
    fn choose_address(&self, hold: &mut Hold) -> Option<IpAddr> {
        if hold.dry_run {
            return Some(self.range.network());
        }
        let size = self.size();
        let lower = if size < 16 { 0 } else { (size / 16).clamp(16, 256).min(size) };
        let mut random = rand::rng();
        let tries: Vec<u128> =
            (0..TRIES).filter(|_| lower < size).map(|_| random.random_range(lower..size)).collect();
        let order = tries.into_iter().chain(lower..size).chain(0..lower);
        order
            .map(|offset| Self::nth(&self.range, offset + 1))
            .find(|ip| self.claims.draw(Claim::Address(*ip), hold))
    }

    fn choose_port(&self, hold: &mut Hold) -> Option<i32> {
        let drawn = NODE_PORTS.start() + ASKED_FOR..=*NODE_PORTS.end();
        let mut random = rand::rng();
        let tries: Vec<i32> = (0..TRIES).map(|_| random.random_range(drawn.clone())).collect();
        let mut order = tries.into_iter().chain(drawn).chain(NODE_PORTS);
        order.find(|port| self.claims.draw(Claim::Port(*port), hold))
    }

    fn allocate(
        &self,
        service: &Key,
        name: &str,
        spec: &mut ServiceSpec,
        mut hold: Hold,
    ) -> Result<Hold, Status> {
        let type_ = spec.type_.clone().unwrap_or_else(|| "ClusterIP".to_owned());
        if type_ != "ExternalName" && spec.cluster_ip.as_deref() != Some("None") {
            self.addresses(service, name, spec, &mut hold)?;
        }
        let load_balancer = type_ == "LoadBalancer" && spec.allocate_load_balancer_node_ports != Some(false);
        self.ports(service, name, spec, load_balancer || type_ == "NodePort", &mut hold)?;
        if type_ == "LoadBalancer" && spec.external_traffic_policy.as_deref() == Some("Local") {
            self.health_port(service, spec, &mut hold).map_err(|why| Status::failure(500, "", why))?;
        }
        Ok(hold)
    }

    fn addresses(
        &self,
        service: &Key,
        name: &str,
        spec: &mut ServiceSpec,
        hold: &mut Hold,
    ) -> Result<(), Status> {
        let path = Path::new("spec").child("clusterIPs");
        let asked: Vec<String> = spec.cluster_ips.clone().unwrap_or_default();
        let asked: Vec<String> = asked.into_iter().filter(|ip| !ip.is_empty()).collect();
        if asked.is_empty() {
            let chosen = self.choose_address(hold).ok_or_else(|| {
                Status::internal(format!(
                    "failed to allocate a serviceIP for Service {name:?}: range is full"
                ))
            })?;
            spec.cluster_ip = Some(chosen.to_string());
            spec.cluster_ips = Some(vec![chosen.to_string()]);
            return Ok(());
        }
        for (at, text) in asked.iter().enumerate() {
            // What is no address is told by validation.
            let Ok(ip) = text.parse::<IpAddr>() else { continue };
            if let Some(why) = self.asked_address(service, ip, hold) {
                let why = format!("failed to allocate IP {ip}: {why}");
                return Err(invalid(name, Error::invalid(&path, &asked[..=at], why)));
            }
        }
        Ok(())
    }

    /// Takes an address, or says why not.
    fn asked_address(&self, service: &Key, ip: IpAddr, hold: &mut Hold) -> Option<String> {
        if self.is_usable(&ip) {
            let is_refused = !hold.dry_run && !self.claims.take(service, Claim::Address(ip), hold);
            return is_refused.then(|| "provided IP is already allocated".to_owned());
        }
        // A dry run asks upstream's allocator of the range, any other write first which range it is.
        Some(if hold.dry_run || self.range.contains(&ip) {
            format!(
                "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {}",
                self.range.trunc()
            )
        } else {
            "the provided network does not match the current range".to_owned()
        })
    }

    fn ports(
        &self,
        service: &Key,
        name: &str,
        spec: &mut ServiceSpec,
        wanted: bool,
        hold: &mut Hold,
    ) -> Result<(), Status> {
        let path = Path::new("spec").child("ports");
        let ports = spec.ports.get_or_insert_default();
        let mut by_number: HashMap<i32, i32> = HashMap::new();
        for (at, port) in ports.iter_mut().enumerate() {
            match port.node_port.filter(|number| *number != 0) {
                Some(number) => {
                    let path = path.index(at).child("nodePort");
                    let is_shared = by_number.get(&port.port) == Some(&number);
                    if hold.is_new && !is_shared && hold.has(&Claim::Port(number)) {
                        return Err(invalid(name, Error::invalid(&path, number, PORT_TAKEN)));
                    }
                    self.asked_port(service, number, hold)
                        .map_err(|why| invalid(name, Error::invalid(&path, number, why)))?;
                    by_number.insert(port.port, number);
                }
                None if wanted => {
                    // The same port in another protocol gets the same node port.
                    let same = by_number.get(&port.port).copied();
                    let chosen = same.or_else(|| self.choose_port(hold));
                    port.node_port =
                        Some(chosen.ok_or_else(|| {
                            Status::internal("failed to allocate a nodePort: range is full")
                        })?);
                    by_number.extend(port.node_port.map(|chosen| (port.port, chosen)));
                }
                None => {}
            }
        }
        if ports.is_empty() {
            spec.ports = None;
        }
        Ok(())
    }

    /// The port on which the service's health is told; or why there is none, for which upstream has no status of the API.
    fn health_port(&self, service: &Key, spec: &mut ServiceSpec, hold: &mut Hold) -> Result<(), String> {
        if let Some(number) = spec.health_check_node_port.filter(|number| *number != 0) {
            return self
                .asked_port(service, number, hold)
                .map_err(|why| format!("failed to allocate requested HealthCheck NodePort {number}: {why}"));
        }
        let chosen = self.choose_port(hold);
        let chosen = chosen.ok_or("failed to allocate a HealthCheck NodePort 0: range is full")?;
        spec.health_check_node_port = Some(chosen);
        Ok(())
    }

    /// Takes a port, or says why not.
    fn asked_port(&self, service: &Key, number: i32, hold: &mut Hold) -> Result<(), String> {
        if !NODE_PORTS.contains(&number) {
            let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
            return Err(format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            ));
        }
        let is_free = self.claims.take(service, Claim::Port(number), hold);
        is_free.then_some(()).ok_or_else(|| PORT_TAKEN.to_owned())
    }
}

fn invalid(name: &str, error: Error) -> Status {
    Status::invalid(&GroupKind::new("", "Service"), name, &[error])
}

/// The allocator's place in the write path.
pub(crate) struct ServiceAddresses;

#[async_trait]
impl Plugin for ServiceAddresses {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Delete && attributes.is("", "services")
    }

    async fn admit(
        &self,
        attributes: &Attributes<'_>,
        new: &mut Object,
        old: Option<&Object>,
        held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        let errors = attributes.kind.validate_allocation(new, old);
        Status::check(&attributes.kind.refused_as, attributes.name, &errors)?;
        let Some(service) = new.downcast_mut::<Service>() else { return Ok(()) };
        let key = Key::new("", "services", attributes.namespace, attributes.name);
        let spec = service.spec.get_or_insert_default();
        let addresses = &attributes.call.server.addresses;
        let hold = addresses.claims.hold(old.is_none(), attributes.dry_run);
        held.push(Box::new(addresses.allocate(&key, attributes.name, spec, hold)?));
        Ok(())
    }
}
