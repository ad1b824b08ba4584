//! The current version of every key: per resource, an ordered persistent map from key to entry.
//!
//! Filled by recovery, changed by publication only. A snapshot is a clone of one map and costs the same however large
//! the map is; a list at a recent revision is such a clone with the later events taken back.

use imbl::OrdMap;
use std::collections::HashMap;
use std::sync::Arc;

use crate::{Entry, Event, EventKind, Key, Range};

/// The entries of one resource.
pub(crate) type Entries = OrdMap<Key, Arc<Entry>>;

#[derive(Default)]
pub(crate) struct Current {
    collections: HashMap<Box<str>, Entries>,
}

impl Current {
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.collections.get(key.collection())?.get(key)
    }

    /// The entries of the resource that the range is part of.
    pub(crate) fn entries(&self, range: &Range) -> Entries {
        self.collections.get(range.collection()).cloned().unwrap_or_default()
    }

    /// Makes an entry the current one of its key.
    pub(crate) fn insert(&mut self, entry: Arc<Entry>) {
        // Looked up by borrowed name first: a resource is new once, its entries change all the time.
        if let Some(entries) = self.collections.get_mut(entry.key.collection()) {
            entries.insert(entry.key.clone(), entry);
        } else {
            let name = entry.key.collection().into();
            self.collections.insert(name, Entries::unit(entry.key.clone(), entry));
        }
    }

    /// Does what an event says.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event.kind {
            EventKind::Created | EventKind::Updated => self.insert(event.entry.clone()),
            EventKind::Deleted => {
                if let Some(entries) = self.collections.get_mut(event.entry.key.collection()) {
                    entries.remove(&event.entry.key);
                }
            }
        }
    }
}

/// Takes events of a range back, given in the order in which they happened.
pub(crate) fn undo<'a>(
    entries: &mut Entries,
    range: &Range,
    events: impl DoubleEndedIterator<Item = &'a Arc<Event>>,
) {
    for event in events.rev().filter(|event| range.contains(&event.entry.key)) {
        match &event.previous {
            Some(previous) => entries.insert(previous.key.clone(), previous.clone()),
            None => entries.remove(&event.entry.key),
        };
    }
}
