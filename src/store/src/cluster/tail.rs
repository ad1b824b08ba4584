//! From the log that another server writes to this server's own current map, ring and watchers.
//!
//! Reads a snapshot of the engine, so what it publishes is durable and whole; a group of the owner stays one group here.
//! Called by the one thread that publishes.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Waker;

use crate::engine::Snapshot;
use crate::history::History;
use crate::record::{self, LogRecord};
use crate::shared::Shared;
use crate::{EngineError, Entry, Event, EventKind, Key, Revision};

/// Publishes everything up to `tip`, which the snapshot holds. Gives the time of the newest write it saw.
pub(crate) fn publish_to(
    shared: &Shared,
    snapshot: &dyn Snapshot,
    tip: Revision,
) -> Result<Option<u64>, EngineError> {
    let mut time_ms = None;
    while shared.tip() < tip {
        let records = stretch(shared, snapshot, tip)?;
        let Some(last) = records.last() else {
            return Err(EngineError::new(format!("the log behind {} is missing up to {tip}", shared.tip())));
        };
        time_ms = Some(last.time_ms);
        let cost = records.iter().map(LogRecord::cost).sum();
        let events = events(shared, snapshot, records)?;
        // Too much, since nobody tells what goes: whoever comes to compact counts anew.
        shared.history_grew(cost);
        shared.publish(events.into_iter()).into_iter().for_each(Waker::wake);
    }
    Ok(time_ms)
}

/// The next records of the log, about as many as an owner writes at once: whole groups.
fn stretch(shared: &Shared, snapshot: &dyn Snapshot, tip: Revision) -> Result<Vec<LogRecord>, EngineError> {
    let history = History { snapshot, options: &shared.options, tip };
    let mut records: Vec<LogRecord> = Vec::new();
    history.log(shared.tip(), |record| {
        if records.len() >= shared.options.group
            && records.last().is_some_and(|last| last.group != record.group)
        {
            return Ok(ControlFlow::Break(()));
        }
        records.push(record);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(records)
}

/// The records with their versions. What was current before comes from memory, where it is the same object that readers
/// already hold.
fn events(
    shared: &Shared,
    snapshot: &dyn Snapshot,
    records: Vec<LogRecord>,
) -> Result<Vec<Arc<Event>>, EngineError> {
    let names: Vec<_> = records.iter().map(|record| record::data_key(&record.key, record.revision)).collect();
    let values = snapshot.get_all(&names)?;
    let mut pending: HashMap<Key, Option<Arc<Entry>>> = HashMap::new();
    let mut events = Vec::with_capacity(records.len());
    for (record, value) in records.into_iter().zip(values) {
        let unreadable =
            || EngineError::new(format!("the data of revision {} is missing or damaged", record.revision));
        let version =
            value.and_then(|bytes| record::decode_data(&bytes, record.revision)).ok_or_else(unreadable)?;
        let previous = match pending.get(&record.key) {
            Some(pending) => pending.clone(),
            None => shared.get(&record.key),
        };
        if previous.as_ref().map(|previous| previous.revision) != record.previous {
            return Err(EngineError::new(format!(
                "revision {} follows another version of {} than this server has",
                record.revision, record.key
            )));
        }
        let entry = Arc::new(version.into_entry(record.key.clone(), record.revision, &shared.options));
        let kept = (record.kind != EventKind::Deleted).then(|| entry.clone());
        pending.insert(record.key, kept);
        events.push(Arc::new(Event { kind: record.kind, entry, previous }));
    }
    Ok(events)
}
