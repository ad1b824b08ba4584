//! What DNS knows of the cluster: services, their endpoint slices, namespaces, and addresses for reverse look-ups.
//!
//! Kept up to date change by change ([`crate::follow`]) and read per question ([`crate::zone`]): every question costs
//! a few map look-ups and the endpoints of one service. Objects are the informers' own, shared and not copied.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, OnceLock, RwLock},
};

use client::Key;
use k8s_openapi::api::{
    core::v1::{Service, ServiceSpec},
    discovery::v1::{Endpoint, EndpointSlice},
};
use kube::ResourceExt;

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The type of slices whose addresses are names, which have no place in DNS.
const FQDN: &str = "FQDN";

/// The index, as soon as everything has been listed once. Without it nothing is known, not even what does not exist.
pub(crate) type Known = Arc<OnceLock<RwLock<Index>>>;

/// Hardly ever more than a few, so that a list is the smallest that does.
type Slices = Vec<Arc<EndpointSlice>>;

/// Everything that answers are made of.
#[derive(Debug, Default)]
pub(crate) struct Index {
    services: HashMap<Key, Arc<Service>>,
    slices: HashMap<Key, Arc<EndpointSlice>>,
    namespaces: HashSet<String>,
    by_cluster_ip: HashMap<IpAddr, Key>,
    /// The slices of each service.
    of_service: HashMap<Key, Slices>,
    /// The slices in which each address is, ready or not.
    at_address: HashMap<IpAddr, Slices>,
    serial: u32,
}

impl Index {
    /// Adds or replaces a service.
    pub(crate) fn put_service(&mut self, service: Arc<Service>) {
        let key = Key::of(&*service);
        self.remove_service(&key);
        for address in cluster_ips(&service) {
            self.by_cluster_ip.insert(address, key.clone());
        }
        self.services.insert(key, service);
        self.changed();
    }

    /// Removes a service.
    pub(crate) fn remove_service(&mut self, key: &Key) {
        let Some(service) = self.services.remove(key) else { return };
        for address in cluster_ips(&service) {
            // Another service may have been given the address already.
            if self.by_cluster_ip.get(&address) == Some(key) {
                self.by_cluster_ip.remove(&address);
            }
        }
        self.changed();
    }

    /// Adds or replaces a slice.
    pub(crate) fn put_slice(&mut self, slice: Arc<EndpointSlice>) {
        let key = Key::of(&*slice);
        self.remove_slice(&key);
        let Some(service) = service_of(&slice) else { return };
        for address in addresses(&slice) {
            self.at_address.entry(address).or_default().push(slice.clone());
        }
        self.of_service.entry(service).or_default().push(slice.clone());
        self.slices.insert(key, slice);
        self.changed();
    }

    /// Removes a slice.
    pub(crate) fn remove_slice(&mut self, key: &Key) {
        // What was put in is taken out, whatever the slice looked like when it was deleted.
        let Some(slice) = self.slices.remove(key) else { return };
        for address in addresses(&slice) {
            take_out(&mut self.at_address, &address, &slice);
        }
        if let Some(service) = service_of(&slice) {
            take_out(&mut self.of_service, &service, &slice);
        }
        self.changed();
    }

    /// Adds a namespace.
    pub(crate) fn put_namespace(&mut self, name: String) {
        self.namespaces.insert(name);
    }

    /// Removes a namespace.
    pub(crate) fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }

    /// A number that grows with every change of the zone.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&Key::new(namespace, name)).map(|service| &**service)
    }

    /// The ready endpoints of a service, each with its slice.
    pub(crate) fn endpoints(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = (&EndpointSlice, &Endpoint)> + use<'_> {
        let slices = self.of_service.get(&Key::new(namespace, name)).into_iter().flatten();
        slices.flat_map(|slice| ready(slice).map(move |endpoint| (&**slice, endpoint)))
    }

    /// The service that has the address.
    pub(crate) fn service_at(&self, address: IpAddr) -> Option<&Key> {
        self.by_cluster_ip.get(&address)
    }

    /// The ready endpoints that have the address, each with its service.
    pub(crate) fn endpoints_at(&self, address: IpAddr) -> impl Iterator<Item = (Key, &Endpoint)> {
        let slices = self.at_address.get(&address).into_iter().flatten();
        let services = slices.filter_map(|slice| Some((service_of(slice)?, slice)));
        services.flat_map(move |(service, slice)| {
            let at_address = ready(slice).filter(move |endpoint| has_address(endpoint, address));
            at_address.map(move |endpoint| (service.clone(), endpoint))
        })
    }

    fn changed(&mut self) {
        self.serial = self.serial.wrapping_add(1);
    }
}

/// Whether the service has no cluster IP of its own, so that its endpoints are answered.
pub(crate) fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

/// The cluster IPs of a service.
pub(crate) fn cluster_ips(service: &Service) -> impl Iterator<Item = IpAddr> {
    let spec = service.spec.as_ref();
    spec.into_iter().flat_map(|spec| spec.cluster_ips.iter().flatten()).filter_map(|ip| ip.parse().ok())
}

/// The host name of an endpoint: its own, or one made from its address.
pub(crate) fn hostname(endpoint: &Endpoint) -> String {
    let given = endpoint.hostname.as_deref().filter(|name| !name.is_empty()).map(str::to_lowercase);
    given.unwrap_or_else(|| {
        endpoint.addresses.first().map(|address| address.replace(['.', ':'], "-")).unwrap_or_default()
    })
}

/// Unknown counts as ready.
fn ready(slice: &EndpointSlice) -> impl Iterator<Item = &Endpoint> {
    slice.endpoints.iter().flatten().filter(|endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    })
}

/// Each address once: endpoints on the host's network share one.
fn addresses(slice: &EndpointSlice) -> HashSet<IpAddr> {
    let endpoints = slice.endpoints.iter().flatten();
    endpoints.flat_map(|endpoint| &endpoint.addresses).filter_map(|address| address.parse().ok()).collect()
}

fn take_out<K: Eq + Hash>(slices: &mut HashMap<K, Slices>, key: &K, slice: &Arc<EndpointSlice>) {
    let Some(places) = slices.get_mut(key) else { return };
    places.retain(|other| !Arc::ptr_eq(other, slice));
    if places.is_empty() {
        slices.remove(key);
    }
}

fn has_address(endpoint: &Endpoint, address: IpAddr) -> bool {
    endpoint.addresses.iter().any(|own| own.parse() == Ok(address))
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    if slice.address_type == FQDN {
        return None;
    }
    let name = slice.labels().get(SERVICE_NAME)?;
    Some(Key::new(slice.namespace().unwrap_or_default(), name))
}
