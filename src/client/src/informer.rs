//! One kind, kept in memory and followed: the state, its readers and its subscribers.
//!
//! A task drives kube's watcher (list, watch with bookmarks, resume, back-off) and is the only writer. Each object is
//! decoded once per process and shared as an `Arc`; `metadata.managedFields` are dropped, nobody here reads them.

use std::{
    fmt::Debug,
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::{lenient::Lenient, state::State};
use crate::key::Key;

mod lenient;
mod state;

/// What an informer can hold: a kind known at compile time.
pub trait Object:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}
impl<K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Object for K {}

/// The part of a kind that an informer follows; the default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Field selector, e.g. `spec.nodeName=a`.
    pub fields: Option<String>,
    /// Label selector.
    pub labels: Option<String>,
}

impl Selection {
    /// Everything that the field selector `fields` selects.
    pub fn fields(fields: impl Into<String>) -> Self {
        Self { fields: Some(fields.into()), ..Self::default() }
    }
}

/// A change to one object, in the order the API server made them.
#[derive(Clone, Debug)]
pub enum Change<K> {
    /// Created, changed, or present at the start.
    Applied {
        /// The state before, where this subscriber had seen the object.
        old: Option<Arc<K>>,
        /// The state now.
        new: Arc<K>,
    },
    /// Gone; the last known state.
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The object the change is about, in its latest known state.
    pub fn object(&self) -> &Arc<K> {
        match self {
            Change::Applied { new, .. } => new,
            Change::Deleted(last) => last,
        }
    }
}

/// The changes for one subscriber, beginning with everything present.
#[derive(Debug)]
pub struct Subscription<K>(mpsc::UnboundedReceiver<Change<K>>);

impl<K> Subscription<K> {
    /// The next change; `None` once the informer stopped.
    pub async fn next(&mut self) -> Option<Change<K>> {
        self.0.recv().await
    }

    /// The next change if one is there already.
    pub fn try_next(&mut self) -> Option<Change<K>> {
        self.0.try_recv().ok()
    }
}

/// A shared, always current copy of one kind; clones share it.
#[derive(Debug)]
pub struct Informer<K> {
    shared: Arc<RwLock<State<K>>>,
    synced: watch::Receiver<bool>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), synced: self.synced.clone() }
    }
}

impl<K: Object> Informer<K> {
    /// Follows the `selection` until `cancel`, in one namespace or in all. Most callers want [`crate::Informers::of`],
    /// which shares; this is for parts that come and go, such as the one secret that a pod mounts.
    pub fn start(
        client: Client,
        namespace: Option<&str>,
        selection: Selection,
        cancel: CancellationToken,
    ) -> Self {
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &()),
            None => Api::all_with(client, &()),
        };
        let (synced_sender, synced) = watch::channel(false);
        let shared = Arc::new(RwLock::new(State::default()));
        tokio::spawn({
            let shared = shared.clone();
            async move {
                cancel.run_until_cancelled(follow(api, selection, &shared, &synced_sender)).await;
                write(&shared).stop();
            }
        });
        Self { shared, synced }
    }

    /// Waits until the first list is complete (or the informer was stopped).
    pub async fn synced(&self) {
        // An error means that the sender is gone, i.e. stopped: the caller is being cancelled as well.
        self.synced.clone().wait_for(|synced| *synced).await.ok();
    }

    /// Whether the first list is complete.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// The object of that name; the namespace is empty for cluster-scoped kinds.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get_key(&Key::new(namespace, name))
    }

    /// The object of that key.
    pub fn get_key(&self, key: &Key) -> Option<Arc<K>> {
        read(&self.shared).objects.get(key).cloned()
    }

    /// All objects, ordered by namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        read(&self.shared).objects.values().cloned().collect()
    }

    /// All objects of one namespace, ordered by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let state = read(&self.shared);
        let from = Key::new(namespace, "");
        state
            .objects
            .range(from..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Number of objects held.
    pub fn len(&self) -> usize {
        read(&self.shared).objects.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything present and every change from now on, without a gap between the two.
    pub fn subscribe(&self) -> Subscription<K> {
        let (sender, receiver) = mpsc::unbounded_channel();
        write(&self.shared).subscribe(sender);
        Subscription(receiver)
    }

    /// Looks objects up by what `value` derives from each; maintained from now on. One index per `name` is kept, so
    /// callers that use the same name must mean the same value.
    pub fn index_by(&self, name: &'static str, value: fn(&K) -> Option<String>) -> Index<K> {
        write(&self.shared).add_index(name, value);
        Index { informer: self.clone(), name }
    }
}

/// The objects of an informer by a derived value.
#[derive(Debug)]
pub struct Index<K> {
    informer: Informer<K>,
    name: &'static str,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self { informer: self.informer.clone(), name: self.name }
    }
}

impl<K: Object> Index<K> {
    /// The objects having `value`, ordered by namespace and name.
    pub fn get(&self, value: &str) -> Vec<Arc<K>> {
        read(&self.informer.shared).indexed(self.name, value)
    }

    /// The number of objects having `value`.
    pub fn count(&self, value: &str) -> usize {
        read(&self.informer.shared).count_indexed(self.name, value)
    }
}

/// Drives the watcher and applies what it says. Returns only if the stream ends, which kube's watcher never does.
async fn follow<K: Object>(
    api: Api<Lenient<K>>,
    selection: Selection,
    shared: &RwLock<State<K>>,
    synced: &watch::Sender<bool>,
) {
    let events = watcher::watcher(api, config(&selection)).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let listed = matches!(event, Event::InitDone);
                write(shared).apply(event);
                if listed {
                    synced.send_replace(true);
                }
            }
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch failed, will be resumed"),
        }
    }
}

fn config(selection: &Selection) -> watcher::Config {
    watcher::Config {
        field_selector: selection.fields.clone(),
        label_selector: selection.labels.clone(),
        ..watcher::Config::default()
    }
}

fn read<K>(shared: &RwLock<State<K>>) -> RwLockReadGuard<'_, State<K>> {
    shared.read().expect("no panic happens while an informer is locked")
}

fn write<K>(shared: &RwLock<State<K>>) -> RwLockWriteGuard<'_, State<K>> {
    shared.write().expect("no panic happens while an informer is locked")
}
