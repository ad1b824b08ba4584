//! Brings the informers' changes into the index.

use std::sync::{OnceLock, RwLock};

use client::{Change, Informers, Key, Subscription};
use k8s_openapi::api::{
    core::v1::{Namespace, Service},
    discovery::v1::EndpointSlice,
};
use kube::ResourceExt;

use crate::index::Index;

/// Lists everything, makes it known at once and as a whole, and follows until the informers stop.
pub(crate) async fn follow(informers: &Informers, known: &OnceLock<RwLock<Index>>) {
    let Some(mut cluster) = Cluster::listed(informers).await else { return };
    let mut index = Index::default();
    while let Some(event) = cluster.try_next() {
        event.apply_to(&mut index);
    }
    let index = known.get_or_init(|| RwLock::new(index));
    while let Some(event) = cluster.next().await {
        event.apply_to(&mut index.write().expect("no panic happens while the index is locked"));
    }
}

/// What is followed.
struct Cluster {
    services: Subscription<Service>,
    slices: Subscription<EndpointSlice>,
    namespaces: Subscription<Namespace>,
}

/// A change of one of the kinds.
enum Event {
    Service(Change<Service>),
    Slice(Change<EndpointSlice>),
    Namespace(Change<Namespace>),
}

impl Cluster {
    /// Once all of it is listed; `None` if the informers stop before.
    async fn listed(informers: &Informers) -> Option<Self> {
        let (services, slices, namespaces) = (informers.of(), informers.of(), informers.of());
        tokio::join!(services.synced(), slices.synced(), namespaces.synced());
        let all = services.is_synced() && slices.is_synced() && namespaces.is_synced();
        all.then(|| Self {
            services: services.subscribe(),
            slices: slices.subscribe(),
            namespaces: namespaces.subscribe(),
        })
    }

    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            change = self.services.next() => change.map(Event::Service),
            change = self.slices.next() => change.map(Event::Slice),
            change = self.namespaces.next() => change.map(Event::Namespace),
        }
    }

    /// The next of what is there already.
    fn try_next(&mut self) -> Option<Event> {
        let service = self.services.try_next().map(Event::Service);
        let slice = || self.slices.try_next().map(Event::Slice);
        let namespace = || self.namespaces.try_next().map(Event::Namespace);
        service.or_else(slice).or_else(namespace)
    }
}

impl Event {
    fn apply_to(self, index: &mut Index) {
        match self {
            Event::Service(Change::Applied { new, .. }) => index.put_service(new),
            Event::Service(Change::Deleted(last)) => index.remove_service(&Key::of(&*last)),
            Event::Slice(Change::Applied { new, .. }) => index.put_slice(new),
            Event::Slice(Change::Deleted(last)) => index.remove_slice(&Key::of(&*last)),
            Event::Namespace(Change::Applied { new, .. }) => index.put_namespace(new.name_any()),
            Event::Namespace(Change::Deleted(last)) => index.remove_namespace(&last.name_any()),
        }
    }
}
