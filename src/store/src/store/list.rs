//! Lists: a snapshot that is streamed from, and the pages of a list at a revision.

use std::ops::Bound;
use std::sync::Arc;

use crate::current::{Entries, is_unreadable};
use crate::{Entry, Key, Range, Revision};

/// A range as it was at one moment; later writes do not change it. Cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    /// The moment: it holds every write of the range up to here, and none behind.
    pub revision: Revision,
    entries: Entries,
    range: Range,
    /// Whether there may be entries in it that cannot be read.
    has_unreadable: bool,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order of keys.
    pub entries: Vec<Arc<Entry>>,
    /// Whether there are more behind them.
    pub more: bool,
    /// How many more, where that is cheap to know.
    pub remaining: Option<u64>,
}

impl Snapshot {
    pub(crate) fn new(revision: Revision, entries: Entries, range: Range, has_unreadable: bool) -> Self {
        Self { revision, entries, range, has_unreadable }
    }

    /// The entries, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> + Send {
        self.from(self.range.start(None))
    }

    /// The entries behind a key, in the order of keys.
    pub fn iter_after<'a>(&'a self, after: &Key) -> impl Iterator<Item = &'a Arc<Entry>> + Send + use<'a> {
        self.from(self.range.start(Some(after)))
    }

    /// The entry of a key, if it is in the range.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Arc<Entry>> {
        self.entries.get(key).filter(|_| self.range.contains(key))
    }

    /// The number of entries; at once for a whole resource, by counting for a part of one.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.range.is_whole_resource() { self.entries.len() } else { self.iter().count() }
    }

    /// An entry whose stored form could not be opened; looked for only where the store knows of any.
    #[must_use]
    pub fn unreadable(&self) -> Option<&Arc<Entry>> {
        if self.has_unreadable { self.iter().find(|entry| is_unreadable(entry)) } else { None }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// At most `limit` entries behind a key.
    pub(crate) fn page(&self, after: Option<&Key>, limit: usize) -> Page {
        let mut rest = self.from(self.range.start(after));
        let entries: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        let remaining = match after {
            None => self.len() - entries.len(),
            Some(_) => rest.count(),
        };
        Page { entries, more: remaining > 0, remaining: Some(remaining as u64) }
    }

    fn from<'a>(&'a self, start: Bound<&str>) -> impl Iterator<Item = &'a Arc<Entry>> + Send + use<'a> {
        let end = self.range.end();
        // A start behind the end is possible (a key of another range) and means nothing, but is no range to a map.
        let start = match start {
            Bound::Excluded(key) if key >= end.as_str() => Bound::Included(end.as_str()),
            start => start,
        };
        self.entries.range::<_, str>((start, Bound::Excluded(end.as_str()))).map(|(_, entry)| entry)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut snapshot = formatter.debug_struct("Snapshot");
        snapshot.field("revision", &self.revision).field("range", &self.range).finish_non_exhaustive()
    }
}
