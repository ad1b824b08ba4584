//! The services and slices of the cluster as the proxy follows them, and which services changed since it last looked.
//!
//! Input are the informers' changes, output what [`super::plan`] wants for the fronts concerned. A front has one owner:
//! the first service that claims it; others wait until it is released.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use client::{Change, Key};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::ResourceExt;

use super::{
    desired::{self, Node},
    health_checks::Check,
    model::Front,
    plan::Desired,
};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What is known of the cluster.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    services: HashMap<Key, Arc<Service>>,
    slices: HashMap<Key, BTreeMap<String, Arc<EndpointSlice>>>,
    changed: BTreeSet<Key>,
    owners: HashMap<Front, Key>,
    owned: HashMap<Key, BTreeSet<Front>>,
    waiting: HashMap<Front, BTreeSet<Key>>,
}

impl Cluster {
    /// Takes a change to a service.
    pub(super) fn service(&mut self, change: Change<Service>) {
        let key = Key::of(&**change.object());
        match change {
            Change::Applied { new, .. } => self.services.insert(key.clone(), new),
            Change::Deleted(_) => self.services.remove(&key),
        };
        self.changed.insert(key);
    }

    /// Takes a change to a slice.
    pub(super) fn slice(&mut self, change: Change<EndpointSlice>) {
        let (gone, come) = match change {
            Change::Applied { old, new } => (old, Some(new)),
            Change::Deleted(last) => (Some(last), None),
        };
        if let Some((service, slice)) = gone.and_then(of_service) {
            if let Some(slices) = self.slices.get_mut(&service) {
                slices.remove(&slice.name_any());
            }
            self.slices.retain(|key, slices| *key != service || !slices.is_empty());
            self.changed.insert(service);
        }
        if let Some((service, slice)) = come.and_then(of_service) {
            self.slices.entry(service.clone()).or_default().insert(slice.name_any(), slice);
            self.changed.insert(service);
        }
    }

    /// What load balancers are to be told about the services that changed. To be asked before [`Self::changes`].
    pub(super) fn health_checks(&self, node: &Node) -> Vec<(Key, Option<Check>)> {
        let check = |key: &Key| desired::health_check(self.services.get(key)?, &self.slices_of(key), node);
        self.changed.iter().map(|key| (key.clone(), check(key))).collect()
    }

    /// Every service is to be looked at again.
    pub(super) fn all_changed(&mut self) {
        self.changed.extend(self.services.keys().cloned());
    }

    /// What the services that changed want.
    pub(super) fn changes(&mut self, node: &Node) -> Desired {
        let mut desired = Desired::new();
        let mut changed = std::mem::take(&mut self.changed);
        for service in changed.clone() {
            for front in self.owned.remove(&service).unwrap_or_default() {
                self.owners.remove(&front);
                changed.extend(self.waiting.remove(&front).unwrap_or_default());
                desired.insert(front, None);
            }
        }
        for service in changed {
            self.claim(&service, node, &mut desired);
        }
        desired
    }

    /// What all services want.
    pub(super) fn everything(&mut self, node: &Node) -> Desired {
        (self.owners, self.owned, self.waiting) = Default::default();
        self.all_changed();
        self.changes(node)
    }

    fn claim(&mut self, key: &Key, node: &Node, desired: &mut Desired) {
        let Some(service) = self.services.get(key) else { return };
        for (front, target) in desired::fronts(service, &self.slices_of(key), node) {
            match self.owners.get(&front) {
                Some(owner) if owner != key => {
                    tracing::warn!(?front, service = %key, %owner, "address and port belong to another service");
                    self.waiting.entry(front).or_default().insert(key.clone());
                }
                _ => {
                    self.owners.insert(front, key.clone());
                    self.owned.entry(key.clone()).or_default().insert(front);
                    desired.insert(front, Some(target));
                }
            }
        }
    }
}

impl Cluster {
    fn slices_of(&self, service: &Key) -> Vec<Arc<EndpointSlice>> {
        self.slices.get(service).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }
}

/// The slice and the service that it belongs to, if any.
fn of_service(slice: Arc<EndpointSlice>) -> Option<(Key, Arc<EndpointSlice>)> {
    let name = slice.labels().get(SERVICE_NAME)?;
    Some((Key::new(slice.namespace().unwrap_or_default(), name), slice))
}
