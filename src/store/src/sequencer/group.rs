//! Writes that go to the engine together.
//!
//! Made and filled by the sequencer. Until [`Group::commit`] nothing of it is visible to anybody.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;
use tokio::sync::oneshot;

use super::{Outcome, Request, answer};
use crate::engine::Batch;
use crate::record::{self, LogRecord};
use crate::shared::Shared;
use crate::{
    Attributes, CommitError, Committed, Entry, Event, EventKind, Key, Precondition, Revision, Sealing, Value,
    Write,
};

pub(crate) struct Group<'a> {
    shared: &'a Shared,
    time_ms: u64,
    /// The revision of its first write.
    first: Revision,
    batch: Batch,
    events: Vec<Arc<Event>>,
    /// What the keys written in this group will be.
    pending: HashMap<Key, Option<Arc<Entry>>>,
    answers: Vec<(oneshot::Sender<Outcome>, Outcome)>,
    bytes: usize,
    history_bytes: u64,
}

impl<'a> Group<'a> {
    pub(crate) fn new(shared: &'a Shared, time_ms: u64, writes: usize) -> Self {
        Self {
            shared,
            time_ms,
            first: shared.tip() + 1,
            batch: Batch { changes: Vec::with_capacity(2 * writes), ..Batch::default() },
            events: Vec::with_capacity(writes),
            pending: HashMap::new(),
            answers: Vec::with_capacity(writes),
            bytes: 0,
            history_bytes: 0,
        }
    }

    /// Whether the request can be part of this group; an empty group takes anything.
    pub(crate) fn has_room(&self, request: &Request) -> bool {
        self.events.is_empty() || self.bytes + request.write.value().size() <= self.shared.options.group_bytes
    }

    /// Decides a request. Its answer waits for [`Group::commit`].
    pub(crate) fn add(&mut self, request: Request) {
        let current = match self.pending.get(&request.key) {
            Some(pending) => pending.clone(),
            None => self.shared.get(&request.key),
        };
        let Request { key, precondition, write, attributes, answer } = request;
        let outcome = match check(precondition, write.is_delete(), current.as_ref()) {
            Ok(()) if answer.is_closed() => return, // Nobody waits for it any more and nothing has been done yet.
            Ok(()) => self.write(key, &write, attributes, current).map(|entry| Committed { entry }),
            Err(refusal) => Err(refusal),
        };
        self.answers.push((answer, outcome));
    }

    /// Answers everything with the same failure; nothing of it is done.
    pub(crate) fn fail(self, failure: &CommitError) {
        for (to, _) in self.answers {
            answer(to, Err(failure.clone()));
        }
    }

    /// Whether it holds nothing but refusals, which rest on the current map alone.
    pub(crate) fn only_refuses(&self) -> bool {
        self.events.is_empty() && !self.answers.is_empty()
    }

    /// Makes the group durable, then visible, then answers. `durable` is given the batch and its last revision.
    pub(crate) fn commit(mut self, durable: impl FnOnce(Batch, Revision) -> Result<(), CommitError>) {
        let wakers = match self.make_durable(durable) {
            Ok(()) => self.publish(),
            Err(failure) => {
                for (_, outcome) in &mut self.answers {
                    *outcome = Err(failure.clone());
                }
                Vec::new()
            }
        };
        for (to, outcome) in self.answers {
            answer(to, outcome);
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn write(
        &mut self,
        key: Key,
        write: &Write,
        attributes: Attributes,
        previous: Option<Arc<Entry>>,
    ) -> Result<Arc<Entry>, CommitError> {
        let revision = self.first + self.events.len() as Revision;
        let kind = match (&previous, write) {
            (_, Write::Delete(_)) => EventKind::Deleted,
            (Some(_), Write::Put(_)) => EventKind::Updated,
            (None, Write::Put(_)) => EventKind::Created,
        };
        let created = previous.as_ref().map_or(revision, |previous| previous.created);
        let data = record::encode_data(write.value(), write.is_delete(), created, revision);
        let bytes = record::object(&data);
        let sealed = self.shared.options.seal.seal(&key, &bytes).map_err(CommitError::Sealing)?;
        let (data, sealing) = match sealed {
            None => (data, Sealing::Plain),
            Some(sealed) => {
                let stored = Value::whole(sealed.bytes);
                (record::encode_data(&stored, write.is_delete(), created, revision), Sealing::By(sealed.by))
            }
        };
        let log = LogRecord {
            revision,
            group: self.first,
            previous: previous.as_ref().map(|previous| previous.revision),
            time_ms: self.time_ms,
            size: u32::try_from(data.len()).unwrap_or(u32::MAX),
            kind,
            key: key.clone(),
        };
        self.bytes += data.len();
        self.history_bytes += log.cost();
        self.batch.put(record::log_key(revision), log.encode());
        self.batch.put(record::data_key(&key, revision), data);
        let entry = Arc::new(Entry { key: key.clone(), revision, created, bytes, attributes, sealing });
        self.pending.insert(key, (kind != EventKind::Deleted).then(|| entry.clone()));
        self.events.push(Arc::new(Event { kind, entry: entry.clone(), previous }));
        Ok(entry)
    }

    fn make_durable(
        &mut self,
        durable: impl FnOnce(Batch, Revision) -> Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        let Some(last) = self.events.last() else { return Ok(()) };
        if let Some(cause) = self.shared.poisoned() {
            return Err(CommitError::Poisoned(cause.to_owned()));
        }
        durable(std::mem::take(&mut self.batch), last.entry.revision)
    }

    fn publish(&mut self) -> Vec<Waker> {
        if self.events.is_empty() {
            return Vec::new();
        }
        self.shared.history_grew(self.history_bytes);
        self.shared.metrics.writes.inc_by(self.events.len() as u64);
        self.shared.publish(std::mem::take(&mut self.events).into_iter())
    }
}

/// Whether a write may be done to a key that is `current` now.
fn check(precondition: Precondition, delete: bool, current: Option<&Arc<Entry>>) -> Result<(), CommitError> {
    match (precondition, current) {
        (Precondition::Absent, Some(current)) => Err(CommitError::Exists(current.clone())),
        (Precondition::Revision(wanted), Some(current)) if current.revision != wanted => {
            Err(CommitError::Conflict(current.clone()))
        }
        (Precondition::Revision(_) | Precondition::Present, None) => Err(CommitError::Missing),
        (_, None) if delete => Err(CommitError::Missing),
        _ => Ok(()),
    }
}
