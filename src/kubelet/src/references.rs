//! The config maps and secrets that pods refer to, each followed by a watch of its own for as long as a pod needs it.
//!
//! A pod's worker holds [`Held`] references; a change pokes every worker that holds one. Never lists a whole kind: a node
//! may only read what its pods refer to.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, Weak},
};

use client::{Informer, Key, Object, Selection};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Container, Pod, Secret, Volume},
};
use kube::Resource;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{pod, poke::Poke, volumes::Objects};

pub(crate) struct References {
    client: kube::Client,
    cancel: CancellationToken,
    config_maps: Entries<ConfigMap>,
    secrets: Entries<Secret>,
}

type Entries<K> = Mutex<HashMap<Key, Weak<Entry<K>>>>;

/// One object followed.
struct Entry<K> {
    informer: Informer<K>,
    holders: Mutex<Vec<Weak<Poke>>>,
    _watch: DropGuard,
}

/// What one pod refers to; while it is held the objects are followed.
#[derive(Default)]
pub(crate) struct Held {
    config_maps: Vec<(String, Arc<Entry<ConfigMap>>)>,
    secrets: Vec<(String, Arc<Entry<Secret>>)>,
}

impl References {
    pub(crate) fn new(client: kube::Client, cancel: CancellationToken) -> Self {
        Self { client, cancel, config_maps: Mutex::default(), secrets: Mutex::default() }
    }

    /// Follows everything that `pod` refers to; `poke` hears of changes.
    pub(crate) fn hold(&self, pod: &Pod, poke: &Arc<Poke>) -> Held {
        let names = names(pod);
        let namespace = pod::namespace(pod);
        Held {
            config_maps: self.entries(&self.config_maps, namespace, names.config_maps, poke),
            secrets: self.entries(&self.secrets, namespace, names.secrets, poke),
        }
    }

    fn entries<K: Object + Resource<Scope = NamespaceResourceScope>>(
        &self,
        entries: &Entries<K>,
        namespace: &str,
        names: BTreeSet<String>,
        poke: &Arc<Poke>,
    ) -> Vec<(String, Arc<Entry<K>>)> {
        let mut entries = entries.lock().expect("no panic happens while the references are locked");
        entries.retain(|_, entry| entry.strong_count() > 0);
        let held = names.into_iter().map(|name| {
            let key = Key::new(namespace, &name);
            let known = entries.get(&key).and_then(Weak::upgrade);
            let entry = known.unwrap_or_else(|| self.follow(&key));
            entry.hold(poke);
            entries.insert(key, Arc::downgrade(&entry));
            (name, entry)
        });
        held.collect()
    }

    fn follow<K: Object + Resource<Scope = NamespaceResourceScope>>(&self, key: &Key) -> Arc<Entry<K>> {
        let cancel = self.cancel.child_token();
        let selection = Selection::fields(format!("metadata.name={}", key.name));
        let informer = Informer::start(self.client.clone(), Some(&key.namespace), selection, cancel.clone());
        let mut changes = informer.subscribe();
        let entry = Arc::new(Entry { informer, holders: Mutex::default(), _watch: cancel.drop_guard() });
        let weak = Arc::downgrade(&entry);
        tokio::spawn(async move {
            while changes.next().await.is_some() {
                let Some(entry) = weak.upgrade() else { return };
                entry.poke();
            }
        });
        entry
    }
}

impl<K> Entry<K> {
    fn hold(&self, poke: &Arc<Poke>) {
        let mut holders = self.holders.lock().expect("no panic happens while the holders are locked");
        holders.retain(|holder| holder.strong_count() > 0);
        if !holders.iter().any(|holder| holder.as_ptr() == Arc::as_ptr(poke)) {
            holders.push(Arc::downgrade(poke));
        }
    }

    fn poke(&self) {
        let holders = self.holders.lock().expect("no panic happens while the holders are locked");
        holders.iter().filter_map(Weak::upgrade).for_each(|holder| holder.objects_changed());
    }
}

impl Held {
    /// The objects as they are now, once each has been looked for.
    pub(crate) async fn objects(&self, namespace: &str) -> Objects {
        let mut objects = Objects::default();
        for (name, entry) in &self.config_maps {
            entry.informer.synced().await;
            objects
                .config_maps
                .extend(entry.informer.get(namespace, name).map(|object| (name.clone(), object)));
        }
        for (name, entry) in &self.secrets {
            entry.informer.synced().await;
            objects.secrets.extend(entry.informer.get(namespace, name).map(|object| (name.clone(), object)));
        }
        objects
    }
}

impl Held {
    /// The pod's pull secrets that exist, in its order.
    pub(crate) fn pull_secrets(&self, pod: &Pod) -> impl Future<Output = Vec<Arc<Secret>>> + Send + 'static {
        let namespace = pod::namespace(pod).to_owned();
        let wanted = pod::spec(pod).image_pull_secrets.iter().flatten();
        let entries: Vec<_> = wanted
            .filter_map(|wanted| self.secrets.iter().find(|(name, _)| *name == wanted.name).cloned())
            .collect();
        async move {
            let mut secrets = Vec::new();
            for (name, entry) in entries {
                entry.informer.synced().await;
                secrets.extend(entry.informer.get(&namespace, &name));
            }
            secrets
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Names {
    config_maps: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

/// The names of all config maps and secrets in the spec of a pod.
fn names(pod: &Pod) -> Names {
    let spec = pod::spec(pod);
    let mut names = Names::default();
    for (_, container) in pod::containers(spec) {
        names.add_container(container);
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        names.add_container(&pod::from_ephemeral(container));
    }
    spec.volumes.iter().flatten().for_each(|volume| names.add_volume(volume));
    names.secrets.extend(spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()));
    names.secrets.remove("");
    names.config_maps.remove("");
    names
}

impl Names {
    fn add_container(&mut self, container: &Container) {
        for from in container.env_from.iter().flatten() {
            self.config_maps.extend(from.config_map_ref.iter().map(|source| source.name.clone()));
            self.secrets.extend(from.secret_ref.iter().map(|source| source.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            self.config_maps.extend(source.config_map_key_ref.iter().map(|key| key.name.clone()));
            self.secrets.extend(source.secret_key_ref.iter().map(|key| key.name.clone()));
        }
    }

    fn add_volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        let parts = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        for part in parts {
            self.config_maps.extend(part.config_map.iter().map(|source| source.name.clone()));
            self.secrets.extend(part.secret.iter().map(|source| source.name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_where_a_spec_names_an_object_is_found() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
            "containers": [{"name": "c",
                "envFrom": [{"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}],
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}]}],
            "initContainers": [{"name": "i", "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "d", "key": "k"}}}]}],
            "imagePullSecrets": [{"name": "e"}],
            "volumes": [{"name": "v", "configMap": {"name": "f"}}, {"name": "w", "secret": {"secretName": "g"}},
                {"name": "x", "projected": {"sources": [{"configMap": {"name": "h"}}, {"secret": {"name": "i"}}]}}],
        }}))
        .unwrap();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected =
            Names { config_maps: set(&["a", "d", "f", "h"]), secrets: set(&["b", "c", "e", "g", "i"]) };
        assert_eq!(names(&pod), expected);
    }
}
