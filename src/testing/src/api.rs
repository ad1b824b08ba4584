//! A Kubernetes API in memory, behind a `kube::Client`: objects by path, lists and watches with field selectors, patches,
//! reviews. Tests write into it and look what a component has written; the component meets it as its API server.
//! It checks nothing and fills in nothing but `resourceVersion` and `uid`: what an API server decides is tested on a real
//! one, in the crate `apiserver`.

mod answer;
mod merge;
mod path;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::sync::watch;

/// The API; clones share it.
#[derive(Clone, Default)]
pub struct Api(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { state: Mutex::default(), revision: watch::Sender::new(1) }
    }
}

#[derive(Default)]
struct State {
    /// By collection path, then name.
    objects: BTreeMap<(String, String), Value>,
    log: Vec<Written>,
}

/// One change, as a watch tells it.
struct Written {
    revision: u64,
    collection: String,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    change: &'static str,
    object: Value,
}

impl Api {
    /// A client that may do everything; its default namespace is `default`.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// Creates or replaces an object at the path that its `apiVersion`, `kind` and namespace give.
    pub fn apply(&self, object: Value) -> Value {
        self.put(&path::of(&object), object)
    }

    /// Deletes an object that was applied.
    pub fn delete(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap();
        self.remove(&path::of(object), name).expect("it was applied");
    }

    /// An object by collection (`/api/v1/nodes`) and name.
    #[must_use]
    pub fn get(&self, collection: &str, name: &str) -> Option<Value> {
        self.0.state.lock().unwrap().objects.get(&key(collection, name)).cloned()
    }

    /// All objects of a collection.
    #[must_use]
    pub fn list(&self, collection: &str) -> Vec<Value> {
        let state = self.0.state.lock().unwrap();
        let of = state.objects.iter().filter(|((path, _), _)| path == collection);
        of.map(|(_, object)| object.clone()).collect()
    }

    /// Creates or replaces an object in a collection.
    pub fn put(&self, collection: &str, object: Value) -> Value {
        self.write(&mut self.0.state.lock().unwrap(), collection, object)
    }

    /// Changes an object without anybody in between.
    pub fn update(&self, collection: &str, name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut state = self.0.state.lock().unwrap();
        let mut object = state.objects[&key(collection, name)].clone();
        change(&mut object);
        self.write(&mut state, collection, object)
    }

    /// Removes an object and answers its last state; `None` where it is not there.
    pub fn remove(&self, collection: &str, name: &str) -> Option<Value> {
        let mut state = self.0.state.lock().unwrap();
        let object = state.objects.remove(&key(collection, name))?;
        self.publish(&mut state, collection, "DELETED", object.clone());
        Some(object)
    }

    /// The last state of an object that was deleted.
    #[must_use]
    pub fn deleted(&self, collection: &str, name: &str) -> Option<Value> {
        let state = self.0.state.lock().unwrap();
        let deleted = state.log.iter().rev().find(|written| {
            written.change == "DELETED"
                && written.collection == collection
                && written.object["metadata"]["name"] == name
        });
        deleted.map(|written| written.object.clone())
    }

    /// Waits until `test` says something about the objects. The caller limits the time.
    pub async fn until<T>(&self, mut test: impl FnMut(&Self) -> Option<T>) -> T {
        let mut revisions = self.0.revision.subscribe();
        loop {
            revisions.borrow_and_update();
            if let Some(found) = test(self) {
                return found;
            }
            revisions.changed().await.expect("self keeps the sender");
        }
    }

    fn write(&self, state: &mut State, collection: &str, mut object: Value) -> Value {
        let key = key(collection, object["metadata"]["name"].as_str().expect("a name"));
        let change = if state.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        let revision = self.next_revision();
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("resourceVersion".into(), json!(revision.to_string()));
        metadata.entry("uid").or_insert_with(|| json!(format!("uid-{revision}")));
        state.objects.insert(key, object.clone());
        self.publish(state, collection, change, object.clone());
        object
    }

    /// Only under the lock of the state, so that a revision is given out once.
    fn next_revision(&self) -> u64 {
        *self.0.revision.borrow() + 1
    }

    fn publish(&self, state: &mut State, collection: &str, change: &'static str, object: Value) {
        let revision = self.next_revision();
        state.log.push(Written { revision, collection: collection.to_owned(), change, object });
        self.0.revision.send_replace(revision);
    }
}

fn key(collection: &str, name: &str) -> (String, String) {
    (collection.to_owned(), name.to_owned())
}
