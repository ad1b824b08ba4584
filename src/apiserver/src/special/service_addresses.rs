//! Addresses and ports of Services: what is asked for is checked, what is left open is chosen.
//!
//! What is taken is read from the store's services (a mirror), so there is no second record that could be wrong. A choice
//! is held until its write is done, so that two services under way at once do not get the same.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use api::Object;
use async_trait::async_trait;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use machinery::Status;
use machinery::field::{Error, Path};
use machinery::gvk::GroupKind;
use machinery::typed;
use rand::Rng;
use store::{Entry, Key, Range, Store};

use crate::admission::{Attributes, Operation, Plugin};
use crate::mirror::{Index, Mirror};

/// Upstream's `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<i32> = 30000..=32767;
/// Random tries before the range is searched in order.
const TRIES: usize = 32;
/// Upstream never uses more of a range.
const MOST_ADDRESSES: u128 = 1 << 20;

/// An address, or a node port: of all protocols at once, as upstream's allocator has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Claim {
    Address(IpAddr),
    Port(i32),
}

/// Who has what.
#[derive(Default)]
struct Taken {
    by_service: HashMap<Key, Vec<Claim>>,
    owners: HashMap<Claim, Key>,
}

impl Index for Taken {
    fn put(&mut self, entry: &Entry) {
        self.remove(&entry.key);
        let spec = match typed::from_json::<Service>(&entry.bytes) {
            Ok(service) => service.spec.unwrap_or_default(),
            Err(error) => {
                return tracing::error!(key = entry.key.as_str(), %error, "a stored service cannot be read");
            }
        };
        let claims = claims(&spec);
        for claim in &claims {
            self.owners.insert(claim.clone(), entry.key.clone());
        }
        self.by_service.insert(entry.key.clone(), claims);
    }

    fn remove(&mut self, key: &Key) {
        for claim in self.by_service.remove(key).unwrap_or_default() {
            if self.owners.get(&claim) == Some(key) {
                self.owners.remove(&claim);
            }
        }
    }
}

fn claims(spec: &ServiceSpec) -> Vec<Claim> {
    let addresses = spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).map(Claim::Address);
    let ports = spec.ports.iter().flatten().filter_map(|port| port.node_port);
    let ports = ports.chain(spec.health_check_node_port).filter(|number| *number != 0);
    addresses.chain(ports.map(Claim::Port)).collect()
}

/// The allocator.
pub(crate) struct Addresses {
    range: IpNet,
    taken: Arc<Mirror<Taken>>,
    held: Arc<Mutex<HashSet<Claim>>>,
}

/// Claims of a write that is under way; given back when it is done, by when the store has them.
struct Hold {
    claims: Vec<Claim>,
    held: Arc<Mutex<HashSet<Claim>>>,
    /// Nothing will be written: addresses are neither looked for nor asked whether they are free, as upstream has it.
    dry_run: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for claim in &self.claims {
            held.remove(claim);
        }
    }
}

impl Addresses {
    pub(crate) fn new(store: Store, range: IpNet) -> Addresses {
        let taken = Mirror::new(store, vec![Range::resource("", "services")]);
        Addresses { range, taken, held: Arc::default() }
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

    /// Takes a claim that nobody has, this service included.
    fn draw(&self, claim: Claim, hold: &mut Hold) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if self.taken.read(|taken| taken.owners.contains_key(&claim)) || !held.insert(claim.clone()) {
            return false;
        }
        hold.claims.push(claim);
        true
    }

    /// Takes a claim unless somebody else has it.
    fn take(&self, service: &Key, claim: Claim, hold: &mut Hold) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let owner_is_other =
            self.taken.read(|taken| taken.owners.get(&claim).is_some_and(|owner| owner != service));
        let held_by_other = held.contains(&claim) && !hold.claims.contains(&claim);
        if owner_is_other || held_by_other {
            return false;
        }
        if held.insert(claim.clone()) {
            hold.claims.push(claim);
        }
        true
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
        order.map(|offset| Self::nth(&self.range, offset + 1)).find(|ip| self.draw(Claim::Address(*ip), hold))
    }

    fn choose_port(&self, hold: &mut Hold) -> Option<i32> {
        let mut random = rand::rng();
        let tries: Vec<i32> = (0..TRIES).map(|_| random.random_range(NODE_PORTS)).collect();
        let mut order = tries.into_iter().chain(NODE_PORTS);
        order.find(|port| self.draw(Claim::Port(*port), hold))
    }

    fn allocate(
        &self,
        service: &Key,
        name: &str,
        spec: &mut ServiceSpec,
        dry_run: bool,
    ) -> Result<Hold, Status> {
        let mut hold = Hold { claims: Vec::new(), held: self.held.clone(), dry_run };
        let type_ = spec.type_.clone().unwrap_or_else(|| "ClusterIP".to_owned());
        if type_ != "ExternalName" && spec.cluster_ip.as_deref() != Some("None") {
            self.addresses(service, name, spec, &mut hold)?;
        }
        let load_balancer = type_ == "LoadBalancer" && spec.allocate_load_balancer_node_ports != Some(false);
        self.ports(service, name, spec, load_balancer || type_ == "NodePort", &mut hold)?;
        if type_ == "LoadBalancer" && spec.external_traffic_policy.as_deref() == Some("Local") {
            self.health_port(service, name, spec, &mut hold)?;
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
                Status::internal(format!("failed to allocate a serviceIP: range {} is full", self.range))
            })?;
            spec.cluster_ip = Some(chosen.to_string());
            spec.cluster_ips = Some(vec![chosen.to_string()]);
            return Ok(());
        }
        for (at, text) in asked.iter().enumerate() {
            // What is no address is told by validation.
            let Ok(ip) = text.parse::<IpAddr>() else { continue };
            let why = if !self.is_usable(&ip) {
                format!(
                    "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is {}",
                    self.range
                )
            } else if !hold.dry_run && !self.take(service, Claim::Address(ip), hold) {
                format!("failed to allocate IP {ip}: provided IP is already allocated")
            } else {
                continue;
            };
            return Err(invalid(name, Error::invalid(&path, &asked[..=at], why)));
        }
        Ok(())
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
                    self.asked_port(service, name, &path, number, hold)?;
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

    fn health_port(
        &self,
        service: &Key,
        name: &str,
        spec: &mut ServiceSpec,
        hold: &mut Hold,
    ) -> Result<(), Status> {
        let path = Path::new("spec").child("healthCheckNodePort");
        match spec.health_check_node_port.filter(|number| *number != 0) {
            Some(number) => self.asked_port(service, name, &path, number, hold),
            None => {
                let chosen = self.choose_port(hold);
                spec.health_check_node_port = Some(
                    chosen.ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))?,
                );
                Ok(())
            }
        }
    }

    fn asked_port(
        &self,
        service: &Key,
        name: &str,
        path: &Path,
        number: i32,
        hold: &mut Hold,
    ) -> Result<(), Status> {
        if !NODE_PORTS.contains(&number) {
            let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
            let why = format!(
                "provided port is not in the valid range. The range of valid ports is {first}-{last}"
            );
            return Err(invalid(name, Error::invalid(path, number, why)));
        }
        if !self.take(service, Claim::Port(number), hold) {
            return Err(invalid(name, Error::invalid(path, number, "provided port is already allocated")));
        }
        Ok(())
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
        _old: Option<&Object>,
        held: &mut Vec<Box<dyn Any + Send + Sync>>,
    ) -> Result<(), Status> {
        let Some(service) = new.downcast_mut::<Service>() else { return Ok(()) };
        let key = Key::new("", "services", attributes.namespace, attributes.name);
        let spec = service.spec.get_or_insert_default();
        held.push(Box::new(attributes.call.server.addresses.allocate(
            &key,
            attributes.name,
            spec,
            attributes.dry_run,
        )?));
        Ok(())
    }
}
