//! Who has which addresses and node ports: read from the store's services and from the reservations that were made for
//! them (a mirror of both); and what the writes under way here have chosen, so that two of them do not choose the same.
//!
//! What another server has chosen at this moment shows when the reservation is made ([`super::reservations`]), not here.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use machinery::typed;
use store::{Entry, Key, Range, Store};

use super::reservations::{self, Reserved};
use crate::mirror::{Index, Mirror};

/// An address, or a node port: of all protocols at once, as upstream's allocator has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Claim {
    Address(IpAddr),
    Port(i32),
}

/// Who has what.
#[derive(Default)]
pub(super) struct Taken {
    by_service: HashMap<Key, (String, Vec<Claim>)>,
    owners: HashMap<Claim, Key>,
    /// Services that are stored and cannot be read, encrypted with a key that is not here, for example.
    unreadable: HashSet<Key>,
    reserved: HashMap<Claim, Reserved>,
}

impl Taken {
    /// Who has a claim by what is stored of services.
    pub(super) fn owner(&self, claim: &Claim) -> Option<&Key> {
        self.owners.get(claim)
    }

    /// The reservation of a claim.
    pub(super) fn reserved(&self, claim: &Claim) -> Option<&Reserved> {
        self.reserved.get(claim)
    }

    /// What a stored service has, and its uid.
    pub(super) fn service(&self, key: &Key) -> (&str, &[Claim]) {
        self.by_service.get(key).map_or(("", &[]), |(uid, claims)| (uid, claims))
    }

    /// Whether a service is stored of which nobody knows here what it has.
    pub(super) fn is_unreadable(&self, key: &Key) -> bool {
        self.unreadable.contains(key)
    }

    /// Whether a claim may be a service's: it is free, or this very service has it. What the allocator reserved for another
    /// service of this name, or somebody by hand, is in the way as everything else is (upstream's `ErrAllocated`).
    fn is_free_for(&self, claim: &Claim, service: &Key, is_new: bool) -> bool {
        match (self.owner(claim), self.reserved(claim)) {
            (None, None) => true,
            _ if is_new => false,
            (Some(owner), _) => owner == service,
            (None, Some(reserved)) => reserved.is_for(service, self.service(service).0),
        }
    }

    /// Every stored service, its uid and what it has.
    pub(super) fn services(&self) -> impl Iterator<Item = (&Key, &str, &[Claim])> {
        self.by_service.iter().map(|(key, (uid, claims))| (key, uid.as_str(), claims.as_slice()))
    }

    /// Every reservation.
    pub(super) fn reservations(&self) -> impl Iterator<Item = (&Claim, &Reserved)> {
        self.reserved.iter()
    }
}

impl Index for Taken {
    fn put(&mut self, entry: &Entry) {
        self.remove(&entry.key);
        if let Some(claim) = reservations::claim(&entry.key) {
            self.reserved.insert(claim, Reserved::read(entry));
            return;
        }
        let spec = match typed::from_json::<Service>(&entry.bytes) {
            Ok(service) => service.spec.unwrap_or_default(),
            Err(error) => {
                tracing::error!(key = entry.key.as_str(), %error, "a stored service cannot be read");
                self.unreadable.insert(entry.key.clone());
                return;
            }
        };
        let claims = claims(&spec);
        for claim in &claims {
            self.owners.insert(claim.clone(), entry.key.clone());
        }
        self.by_service.insert(entry.key.clone(), (entry.attributes.uid.to_string(), claims));
    }

    fn remove(&mut self, key: &Key) {
        if let Some(claim) = reservations::claim(key) {
            self.reserved.remove(&claim);
            return;
        }
        self.unreadable.remove(key);
        for claim in self.by_service.remove(key).unwrap_or_default().1 {
            if self.owners.get(&claim) == Some(key) {
                self.owners.remove(&claim);
            }
        }
    }
}

/// What a service has.
fn claims(spec: &ServiceSpec) -> Vec<Claim> {
    let addresses = spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).map(Claim::Address);
    let ports = spec.ports.iter().flatten().filter_map(|port| port.node_port);
    let ports = ports.chain(spec.health_check_node_port).filter(|number| *number != 0);
    addresses.chain(ports.map(Claim::Port)).collect()
}

/// All claims, of what is stored and of what is under way.
pub(super) struct Claims {
    taken: Arc<Mirror<Taken>>,
    held: Arc<Mutex<HashSet<Claim>>>,
}

/// Claims of a write that is under way; given back when it is done, by when the store has them.
pub(super) struct Hold {
    pub(super) claims: Vec<Claim>,
    held: Arc<Mutex<HashSet<Claim>>>,
    /// The service is not there yet.
    pub(super) is_new: bool,
    /// Nothing will be written: addresses are neither looked for nor asked whether they are free, as upstream has it.
    pub(super) dry_run: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for claim in &self.claims {
            held.remove(claim);
        }
    }
}

impl Hold {
    /// Whether this write has the claim.
    pub(super) fn has(&self, claim: &Claim) -> bool {
        self.claims.contains(claim)
    }
}

impl Claims {
    pub(super) fn new(store: Store) -> Claims {
        let ranges = [&[Range::resource("", "services")][..], &reservations::ranges()].concat();
        Claims { taken: Mirror::new(store, ranges), held: Arc::default() }
    }

    /// Looks at who has what, as of now.
    pub(super) fn read<R>(&self, look: impl FnOnce(&Taken) -> R) -> R {
        self.taken.read(look)
    }

    /// Whether a write that is under way here has the claim.
    pub(super) fn is_held(&self, claim: &Claim) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains(claim)
    }

    /// Begins a write that has no claims yet.
    pub(super) fn hold(&self, is_new: bool, dry_run: bool) -> Hold {
        Hold { claims: Vec::new(), held: self.held.clone(), is_new, dry_run }
    }

    /// Takes a claim that nobody has, this service included.
    pub(super) fn draw(&self, claim: Claim, hold: &mut Hold) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken =
            |taken: &Taken| taken.owners.contains_key(&claim) || taken.reserved.contains_key(&claim);
        if self.taken.read(is_taken) || !held.insert(claim.clone()) {
            return false;
        }
        hold.claims.push(claim);
        true
    }

    /// Takes a claim unless somebody else has it.
    pub(super) fn take(&self, service: &Key, claim: Claim, hold: &mut Hold) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = self.taken.read(|taken| taken.is_free_for(&claim, service, hold.is_new));
        let held_by_other = held.contains(&claim) && !hold.claims.contains(&claim);
        if !is_free || held_by_other {
            return false;
        }
        if held.insert(claim.clone()) {
            hold.claims.push(claim);
        }
        true
    }
}
