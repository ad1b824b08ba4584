//! The current version of every key: per resource, an ordered persistent map from key to entry.
//!
//! Filled by recovery, changed by publication only. A snapshot is a clone of one map and costs the same however large
//! the map is; a list at a recent revision is such a clone with the later events taken back.

use imbl::OrdMap;
use std::collections::HashMap;
use std::sync::Arc;

use crate::{Entry, Event, EventKind, Key, Range, Sealing};

/// The entries of one resource.
pub(crate) type Entries = OrdMap<Key, Arc<Entry>>;

#[derive(Default)]
pub(crate) struct Current {
    collections: HashMap<Box<str>, Entries>,
    /// Whether there may be entries whose stored form could not be opened.
    has_unreadable: bool,
}

impl Current {
    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.collections.get(key.collection())?.get(key)
    }

    /// The entries of the resource that the range is part of.
    pub(crate) fn entries(&self, range: &Range) -> Entries {
        self.collections.get(range.collection()).cloned().unwrap_or_default()
    }

    /// All resources that ever had an entry.
    pub(crate) fn collections(&self) -> Vec<(Box<str>, Entries)> {
        self.collections.iter().map(|(name, entries)| (name.clone(), entries.clone())).collect()
    }

    /// Makes an entry the current one of its key.
    pub(crate) fn insert(&mut self, entry: Arc<Entry>) {
        self.has_unreadable |= is_unreadable(&entry);
        // Looked up by borrowed name first: a resource is new once, its entries change all the time.
        if let Some(entries) = self.collections.get_mut(entry.key.collection()) {
            entries.insert(entry.key.clone(), entry);
        } else {
            let name = entry.key.collection().into();
            self.collections.insert(name, Entries::unit(entry.key.clone(), entry));
        }
    }

    pub(crate) fn has_unreadable(&self) -> bool {
        self.has_unreadable
    }

    /// The entries whose stored form could not be opened.
    pub(crate) fn unreadable(&self) -> Vec<Arc<Entry>> {
        if !self.has_unreadable {
            return Vec::new();
        }
        let all = self.collections.values().flat_map(|entries| entries.values());
        all.filter(|entry| is_unreadable(entry)).cloned().collect()
    }

    /// Puts the same versions in the place of unreadable ones, where those are still current.
    pub(crate) fn opened(&mut self, entries: Vec<Arc<Entry>>) {
        for entry in entries {
            if self.get(&entry.key).is_some_and(|current| current.revision == entry.revision) {
                self.insert(entry);
            }
        }
        self.has_unreadable = true;
        self.has_unreadable = !self.unreadable().is_empty();
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

pub(crate) fn is_unreadable(entry: &Entry) -> bool {
    matches!(entry.sealing, Sealing::Unreadable(_))
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
