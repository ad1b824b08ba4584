//! The past, read from the engine: versions, lists at a revision, events of the log.
//!
//! Called where blocking is allowed, for what is older than the ring. The caller sees to it that the revision is still
//! readable (`Shared::check_readable`, after the snapshot was taken). Nothing here looks at the current map.

use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::engine::Snapshot;
use crate::record::{self, LogRecord, Version};
use crate::{EngineError, Entry, Event, EventKind, Key, Options, Range, Revision};

/// An engine's snapshot, understood as the store's history.
pub(crate) struct History<'a> {
    pub(crate) snapshot: &'a dyn Snapshot,
    pub(crate) options: &'a Options,
    /// The newest published revision: for moments the engine holds a group that nobody may see yet.
    pub(crate) tip: Revision,
}

/// Why there is no entry where one should be.
pub(crate) enum Unread {
    /// The engine cannot be read, here or at all.
    Engine(EngineError),
    /// A record is not what was written.
    Record {
        name: Bytes,
        /// Whose newest version it should be, if that can be told.
        key: Option<Key>,
    },
}

impl From<Unread> for EngineError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Engine(error) => error,
            Unread::Record { name, .. } => unreadable(&name),
        }
    }
}

/// A stretch of the log, filtered for a range.
pub(crate) struct Stretch {
    pub(crate) events: Vec<Arc<Event>>,
    /// The stretch ends with this revision, whether it concerned the range or not.
    pub(crate) end: Revision,
}

impl History<'_> {
    /// The entry of a key as it was at a revision.
    pub(crate) fn get_at(&self, key: &Key, revision: Revision) -> Result<Option<Arc<Entry>>, EngineError> {
        let (entries, _) = self.list_at(&Range::key(key), revision, None, 1)?;
        Ok(entries.into_iter().next())
    }

    /// At most `limit` entries of a range as it was at a revision, behind the key `after`, and whether there are more.
    pub(crate) fn list_at(
        &self,
        range: &Range,
        revision: Revision,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<(Vec<Arc<Entry>>, bool), EngineError> {
        let mut entries = Vec::new();
        for found in self.newest_at(range, revision, after) {
            let found = found?;
            if entries.len() == limit {
                return Ok((entries, true));
            }
            entries.push(found);
        }
        Ok((entries, false))
    }

    /// The entries of a range as it was at a revision, behind the key `after`. One that cannot be read is told as that, and
    /// the next ones follow.
    pub(crate) fn newest_at(
        &self,
        range: &Range,
        revision: Revision,
        after: Option<&Key>,
    ) -> impl Iterator<Item = Result<Arc<Entry>, Unread>> {
        let (from, to) = record::data_range(range, after);
        let mut decided: Option<Key> = None;
        self.snapshot.scan(&from, &to).filter_map(move |pair| {
            let (name, bytes) = match pair {
                Ok(pair) => pair,
                Err(error) => return Some(Err(Unread::Engine(error))),
            };
            self.decide(&name, &bytes, revision, &mut decided).transpose()
        })
    }

    /// What a data record says of its key, unless that is `decided` already, the record is too new or the key was deleted.
    fn decide(
        &self,
        name: &Bytes,
        bytes: &Bytes,
        revision: Revision,
        decided: &mut Option<Key>,
    ) -> Result<Option<Arc<Entry>>, Unread> {
        let unread = |key| Unread::Record { name: name.clone(), key };
        let (path, written) = record::parse_data_key(name).ok_or_else(|| unread(None))?;
        // Newest first: the first version that is old enough decides for its key.
        if written > revision || decided.as_ref().is_some_and(|key| key.as_str() == path) {
            return Ok(None);
        }
        let key = Key::parse(path).ok_or_else(|| unread(None))?;
        *decided = Some(key.clone());
        let version = record::decode_data(bytes, written).ok_or_else(|| unread(Some(key.clone())))?;
        Ok((!version.deleted).then(|| Arc::new(version.into_entry(key, written, self.options))))
    }

    /// The events of a range behind `after`, from at most `limit` records of the log.
    pub(crate) fn events(
        &self,
        range: &Range,
        after: Revision,
        limit: usize,
    ) -> Result<Stretch, EngineError> {
        let mut stretch = Stretch { events: Vec::new(), end: after };
        let mut left = limit;
        self.log(after, |record| {
            stretch.end = record.revision;
            if range.contains(&record.key) {
                stretch.events.push(Arc::new(self.event(record)?));
            }
            left -= 1;
            Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(stretch)
    }

    /// Shows the published log records behind `after` one by one, in order, without a gap.
    pub(crate) fn log(
        &self,
        after: Revision,
        mut visit: impl FnMut(LogRecord) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<(), EngineError> {
        let (from, to) = record::log_after(after);
        for (expected, pair) in (after + 1..=self.tip).zip(self.snapshot.scan(&from, to)) {
            let (name, bytes) = pair?;
            let record = LogRecord::decode(&bytes).ok_or_else(|| unreadable(&name))?;
            if record.revision != expected {
                return Err(EngineError::new(format!("the log record of revision {expected} is missing")));
            }
            if visit(record)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn event(&self, record: LogRecord) -> Result<Event, EngineError> {
        let LogRecord { revision, previous, kind, key, .. } = record;
        let previous = previous.map(|previous| self.version(&key, previous)).transpose()?;
        let entry = self.version(&key, revision)?;
        debug_assert_eq!(previous.is_none(), kind == EventKind::Created);
        Ok(Event { kind, entry, previous })
    }

    /// Exactly one version, which has to be there.
    fn version(&self, key: &Key, revision: Revision) -> Result<Arc<Entry>, EngineError> {
        let name = record::data_key(key, revision);
        let bytes = self.snapshot.get(&name)?.ok_or_else(|| unreadable(&name))?;
        let version: Version = record::decode_data(&bytes, revision).ok_or_else(|| unreadable(&name))?;
        Ok(Arc::new(version.into_entry(key.clone(), revision, self.options)))
    }
}

fn unreadable(name: &[u8]) -> EngineError {
    EngineError::new(format!("the record {} is missing or damaged", name.escape_ascii()))
}
