//! What an informer holds: the objects, the indices over them and the subscribers.
//!
//! The informer's task feeds it watch events; readers and subscribers see each change whole. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use kube::runtime::watcher::Event;
use tokio::sync::mpsc;

use super::{Change, Object, lenient::Lenient};
use crate::key::Key;

#[derive(Debug)]
pub(super) struct State<K> {
    pub(super) objects: BTreeMap<Key, Arc<K>>,
    indices: HashMap<&'static str, IndexState<K>>,
    subscribers: Vec<mpsc::UnboundedSender<Change<K>>>,
    /// While a (re)list arrives: the keys seen in it. What is in none of its pages is gone.
    listing: BTreeSet<Key>,
    stopped: bool,
}

#[derive(Debug)]
struct IndexState<K> {
    value: fn(&K) -> Option<String>,
    keys: HashMap<String, BTreeSet<Key>>,
}

impl<K> Default for State<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            indices: HashMap::new(),
            subscribers: Vec::new(),
            listing: BTreeSet::new(),
            stopped: false,
        }
    }
}

impl<K: Object> State<K> {
    pub(super) fn apply(&mut self, event: Event<Lenient<K>>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(Lenient(object)) => {
                self.listing.insert(Key::of(&object));
                self.put(object);
            }
            Event::InitDone => self.delete_unlisted(),
            Event::Apply(Lenient(object)) => self.put(object),
            Event::Delete(Lenient(object)) => self.delete(&Key::of(&object), Some(object)),
        }
    }

    /// Gives `subscriber` everything present, and from now on every change.
    pub(super) fn subscribe(&mut self, subscriber: mpsc::UnboundedSender<Change<K>>) {
        let present = self.objects.values().map(|new| Change::Applied { old: None, new: new.clone() });
        let listens = present.map(|change| subscriber.send(change)).all(|sent| sent.is_ok());
        if listens && !self.stopped {
            self.subscribers.push(subscriber);
        }
    }

    /// Ends all subscriptions.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.subscribers.clear();
    }

    pub(super) fn add_index(&mut self, name: &'static str, value: fn(&K) -> Option<String>) {
        let objects = &self.objects;
        self.indices.entry(name).or_insert_with(|| {
            let mut index = IndexState { value, keys: HashMap::new() };
            for (key, object) in objects {
                index.insert(key, object);
            }
            index
        });
    }

    pub(super) fn indexed(&self, name: &str, value: &str) -> Vec<Arc<K>> {
        let keys = self.indices.get(name).and_then(|index| index.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| self.objects.get(key).cloned()).collect()
    }

    pub(super) fn count_indexed(&self, name: &str, value: &str) -> usize {
        let keys = self.indices.get(name).and_then(|index| index.keys.get(value));
        keys.map_or(0, BTreeSet::len)
    }

    fn put(&mut self, mut object: K) {
        object.meta_mut().managed_fields = None;
        let key = Key::of(&object);
        let unchanged = |old: &Arc<K>| old.meta().resource_version == object.meta().resource_version;
        if self.objects.get(&key).is_some_and(unchanged) {
            return;
        }
        let new = Arc::new(object);
        let old = self.objects.insert(key.clone(), new.clone());
        for index in self.indices.values_mut() {
            if let Some(old) = &old {
                index.remove(&key, old);
            }
            index.insert(&key, &new);
        }
        self.publish(&Change::Applied { old, new });
    }

    /// Removes `key`; subscribers get the final state that the server sent, or what was known last.
    fn delete(&mut self, key: &Key, last: Option<K>) {
        let Some(known) = self.objects.remove(key) else { return };
        for index in self.indices.values_mut() {
            index.remove(key, &known);
        }
        let last = last.map_or(known, |mut last| {
            last.meta_mut().managed_fields = None;
            Arc::new(last)
        });
        self.publish(&Change::Deleted(last));
    }

    fn delete_unlisted(&mut self) {
        let listed = std::mem::take(&mut self.listing);
        let gone: Vec<Key> = self.objects.keys().filter(|key| !listed.contains(key)).cloned().collect();
        for key in gone {
            self.delete(&key, None);
        }
    }

    fn publish(&mut self, change: &Change<K>) {
        self.subscribers.retain(|subscriber| subscriber.send(change.clone()).is_ok());
    }
}

impl<K> IndexState<K> {
    fn insert(&mut self, key: &Key, object: &K) {
        if let Some(value) = (self.value)(object) {
            self.keys.entry(value).or_default().insert(key.clone());
        }
    }

    fn remove(&mut self, key: &Key, object: &K) {
        let Some(value) = (self.value)(object) else { return };
        if let Some(keys) = self.keys.get_mut(&value) {
            keys.remove(key);
            if keys.is_empty() {
                self.keys.remove(&value);
            }
        }
    }
}
