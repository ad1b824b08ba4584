//! Who owns whom, over all kinds. Pure: changes come from the monitors, what to look at goes to the queue.
//!
//! An owner that is referred to but was not seen is a *virtual* node until it is seen or found absent.

use std::collections::{HashMap, HashSet, VecDeque};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::Work;

#[cfg(test)]
mod tests;

/// So many owners found absent are remembered.
const REMEMBERED_ABSENT: usize = 500;

/// Where to find an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Among the collector's kinds; unknown for a virtual node of a kind that is not served.
    pub(super) kind: Option<usize>,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// What the graph keeps of an object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) uid: String,
    pub(super) place: Place,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) is_deleting: bool,
    /// Deleting in the foreground: waits for its dependents.
    pub(super) is_waiting: bool,
    /// Deleting, once its dependents are released.
    pub(super) is_orphaning: bool,
}

#[derive(Debug)]
struct Node {
    object: Object,
    dependents: HashSet<String>,
    is_virtual: bool,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
    /// UID and namespace of owners found absent, the latest last.
    absent: VecDeque<(String, String)>,
}

/// A node as collection needs it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) place: Place,
    pub(super) is_deleting: bool,
    pub(super) is_waiting: bool,
    pub(super) dependents: Vec<Dependent>,
}

#[derive(Clone, Debug)]
pub(super) struct Dependent {
    pub(super) uid: String,
    pub(super) place: Place,
    /// Whether it asks that its owner be kept until it is gone.
    pub(super) is_blocking: bool,
    pub(super) is_waiting: bool,
}

impl Graph {
    /// Takes in a new or changed object.
    pub(super) fn set(
        &mut self,
        object: Object,
        kind_of: impl Fn(&OwnerReference) -> Option<usize>,
    ) -> Vec<Work> {
        let uid = object.uid.clone();
        let before = self.nodes.get(&uid).filter(|node| !node.is_virtual).map(|node| node.object.clone());
        let owners_before = before.as_ref().map(|before| before.owners.clone()).unwrap_or_default();
        let mut work = self.unblock(&owners_before, &object.owners);
        for gone in owners_before.iter().filter(|owner| !names(&object.owners, &owner.uid)) {
            self.unlink(&gone.uid, &uid);
        }
        for new in object.owners.iter().filter(|owner| !names(&owners_before, &owner.uid)) {
            work.extend(self.link(new, &object, kind_of(new)));
        }
        let was = |field: fn(&Object) -> bool| before.as_ref().is_some_and(field);
        if object.is_orphaning && !was(|object| object.is_orphaning) {
            work.push(Work::Orphan(uid.clone()));
        }
        let starts_waiting = object.is_waiting && !was(|object| object.is_waiting);
        let node = self.nodes.entry(uid.clone()).or_insert_with(|| Node {
            object: object.clone(),
            dependents: HashSet::new(),
            is_virtual: false,
        });
        node.object = object;
        node.is_virtual = false;
        if starts_waiting {
            work.extend(node.dependents.iter().cloned().map(Work::Delete));
            work.push(Work::Delete(uid));
        }
        work
    }

    /// Forgets an object that is gone; its dependents and owners waiting for it are looked at.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Work> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut work: Vec<Work> = node.dependents.into_iter().map(Work::Delete).collect();
        for owner in &node.object.owners {
            self.unlink(&owner.uid, uid);
            work.extend(self.wake_if_waiting(&owner.uid));
        }
        work
    }

    /// After a complete list of a kind: forgets those of its objects that were not in it.
    pub(super) fn retain_listed(&mut self, kind: usize, listed: &HashSet<String>) -> Vec<Work> {
        let gone = |(uid, node): &(&String, &Node)| {
            !node.is_virtual && node.object.place.kind == Some(kind) && !listed.contains(*uid)
        };
        let gone: Vec<String> = self.nodes.iter().filter(gone).map(|(uid, _)| uid.clone()).collect();
        gone.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    pub(super) fn view(&self, uid: &str) -> Option<View> {
        let node = self.nodes.get(uid)?;
        let dependents = node.dependents.iter().filter_map(|dependent| {
            let object = &self.nodes.get(dependent)?.object;
            let reference = object.owners.iter().find(|owner| owner.uid == uid);
            Some(Dependent {
                uid: dependent.clone(),
                place: object.place.clone(),
                is_blocking: reference.is_some_and(blocks),
                is_waiting: object.is_waiting,
            })
        });
        Some(View {
            place: node.object.place.clone(),
            is_deleting: node.object.is_deleting,
            is_waiting: node.object.is_waiting,
            dependents: dependents.collect(),
        })
    }

    /// Notes that no object of that UID is where a reference in `namespace` says.
    pub(super) fn note_absent(&mut self, uid: &str, namespace: &str) {
        self.absent.push_back((uid.to_owned(), namespace.to_owned()));
        if self.absent.len() > REMEMBERED_ABSENT {
            self.absent.pop_front();
        }
    }

    pub(super) fn is_absent(&self, uid: &str, namespace: &str) -> bool {
        self.absent.iter().any(|(absent, place)| absent == uid && place == namespace)
    }

    /// Wakes waiting owners that an object blocked and no longer does.
    fn unblock(&self, before: &[OwnerReference], after: &[OwnerReference]) -> Vec<Work> {
        let freed = before.iter().filter(|owner| {
            let now = after.iter().find(|other| other.uid == owner.uid);
            blocks(owner) && !now.is_some_and(blocks)
        });
        freed.filter_map(|owner| self.wake_if_waiting(&owner.uid)).collect()
    }

    fn wake_if_waiting(&self, uid: &str) -> Option<Work> {
        let waiting = self.nodes.get(uid).is_some_and(|node| node.object.is_waiting);
        waiting.then(|| Work::Delete(uid.to_owned()))
    }

    /// Enters `object` as a dependent. An owner not seen is looked for; one that waits has to know of a late dependent.
    fn link(&mut self, owner: &OwnerReference, object: &Object, kind: Option<usize>) -> Option<Work> {
        let known = self.nodes.contains_key(&owner.uid);
        let node = self.nodes.entry(owner.uid.clone()).or_insert_with(|| Node {
            object: virtual_object(owner, &object.place.namespace, kind),
            dependents: HashSet::new(),
            is_virtual: true,
        });
        node.dependents.insert(object.uid.clone());
        if !known {
            return Some(Work::Delete(owner.uid.clone()));
        }
        node.object.is_waiting.then(|| Work::Delete(object.uid.clone()))
    }

    fn unlink(&mut self, owner: &str, dependent: &str) {
        if let Some(node) = self.nodes.get_mut(owner) {
            node.dependents.remove(dependent);
        }
    }
}

fn virtual_object(owner: &OwnerReference, namespace: &str, kind: Option<usize>) -> Object {
    Object {
        uid: owner.uid.clone(),
        place: Place { kind, namespace: namespace.to_owned(), name: owner.name.clone() },
        owners: Vec::new(),
        is_deleting: false,
        is_waiting: false,
        is_orphaning: false,
    }
}

fn names(owners: &[OwnerReference], uid: &str) -> bool {
    owners.iter().any(|owner| owner.uid == uid)
}

fn blocks(owner: &OwnerReference) -> bool {
    owner.block_owner_deletion == Some(true)
}
