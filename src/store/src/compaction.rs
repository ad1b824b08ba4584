//! Forgetting: versions that were replaced longer ago than the horizon, and the log of those writes.
//!
//! A background task. It goes along the log from its old end, a small stretch at a time, so its cost is what was written
//! and not what exists. What may be forgotten is decided by the times recorded with the log, or by its size where that
//! outgrows its limit. First the horizon is raised, then the records are removed: a reader that took its snapshot and
//! then found its revision above the horizon has everything it needs. While there is nothing to forget it sleeps, until
//! the oldest write is old enough or, if there is none, until something is written.

use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::engine::{Batch, Condition, Durability, Written};
use crate::record::{self, LogRecord};
use crate::recovery::{encode_number, number};
use crate::shared::Shared;
use crate::{EngineError, EventKind, Revision};

/// Log records forgotten in one batch.
const STRETCH: usize = 256;

/// When there will be something to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once.
    Now,
    /// When so much time has passed, or the history outgrows its limit.
    In(Duration),
    /// After something was written.
    AfterAWrite,
}

/// Runs until it is cancelled or the engine fails; never leaves a stretch half done.
pub(crate) async fn run(shared: Arc<Shared>, cancel: CancellationToken) {
    while !cancel.is_cancelled() && shared.poisoned().is_none() {
        let worker = shared.clone();
        let next = match tokio::task::spawn_blocking(move || forget(&worker)).await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) => return shared.poison(&error.to_string()),
            // The runtime is being shut down, and this task with it.
            Err(error) if error.is_cancelled() => return,
            Err(_) => return shared.poison("the compaction panicked"),
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = wait(&shared, next) => {}
        }
    }
}

pub(crate) async fn wait(shared: &Shared, next: Next) {
    match next {
        Next::Now => {}
        Next::In(duration) => tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = shared.history_full.notified() => {}
        },
        Next::AfterAWrite => {
            let horizon = shared.horizon();
            // The sender lives in `shared`, so this ends only with a write.
            drop(shared.follow_tip().wait_for(|tip| *tip > horizon).await);
        }
    }
}

/// Forgets one stretch of the log, if it is due; blocks.
pub(crate) fn forget(shared: &Shared) -> Result<Next, EngineError> {
    forget_by(shared, |_, removal| shared.engine.write(removal, Durability::Deferred))
}

/// As [`forget`], where other servers may compact too: what goes is decided by whoever moves the horizon.
pub(crate) fn forget_shared(shared: &Shared) -> Result<Next, EngineError> {
    forget_by(shared, |before, removal| {
        let key = Bytes::from_static(record::HORIZON_KEY);
        let condition = Condition { key, expected: Some(encode_number(before)) };
        match shared.engine.write_if(&condition, removal)? {
            Written::Done => Ok(()),
            Written::Refused => Err(EngineError::new("another server moved the horizon")),
        }
    })
}

fn forget_by(
    shared: &Shared,
    write: impl FnOnce(Revision, Batch) -> Result<(), EngineError>,
) -> Result<Next, EngineError> {
    let before = shared.horizon();
    let stretch = due(shared)?;
    let Some(last) = stretch.records.last() else { return Ok(stretch.next) };
    let horizon = last.revision;
    shared.raise_horizon(horizon);
    write(before, removal(&stretch.records, horizon))?;
    shared.history_shrank(stretch.cost);
    Ok(stretch.next)
}

/// Counts anew how much history the engine holds, and takes its horizon; blocks.
pub(crate) fn recount(shared: &Shared) -> Result<(), EngineError> {
    let snapshot = shared.engine.snapshot();
    let horizon = number(&*snapshot, record::HORIZON_KEY)?.unwrap_or_default();
    let mut bytes = 0;
    shared.history(&*snapshot).log(horizon, |record| {
        bytes += record.cost();
        Ok(ControlFlow::Continue(()))
    })?;
    shared.horizon_is(horizon);
    shared.history_is(bytes);
    Ok(())
}

/// The records at the old end of the log that may go.
struct Stretch {
    records: Vec<LogRecord>,
    cost: u64,
    next: Next,
}

fn due(shared: &Shared) -> Result<Stretch, EngineError> {
    let snapshot = shared.engine.snapshot();
    let history = shared.history(&*snapshot);
    let options = &shared.options;
    let now = options.clock.now();
    let excess = excess(shared.history_bytes(), options.history_limit);
    let mut stretch = Stretch { records: Vec::new(), cost: 0, next: Next::AfterAWrite };
    history.log(shared.horizon(), |record| {
        let forgotten_at = Duration::from_millis(record.time_ms) + options.horizon;
        if forgotten_at > now && stretch.cost >= excess {
            stretch.next = Next::In(forgotten_at + options.compaction_slack - now);
            return Ok(ControlFlow::Break(()));
        }
        stretch.cost += record.cost();
        stretch.records.push(record);
        if stretch.records.len() == STRETCH {
            stretch.next = Next::Now;
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(stretch)
}

/// How much of the history goes whatever its age: a little more than is too much, so that it is not the next write's
/// turn again.
fn excess(bytes: u64, limit: u64) -> u64 {
    if bytes > limit { bytes - limit + limit / 16 } else { 0 }
}

/// Removes the log up to the horizon, and every version that nothing readable needs any more: what each write replaced,
/// and the final states of what was deleted.
fn removal(records: &[LogRecord], horizon: Revision) -> Batch {
    let mut batch = Batch::default();
    for record in records {
        batch.remove(record::log_key(record.revision));
        if let Some(previous) = record.previous {
            batch.remove(record::data_key(&record.key, previous));
        }
        if record.kind == EventKind::Deleted {
            batch.remove(record::data_key(&record.key, record.revision));
        }
    }
    batch.put(record::HORIZON_KEY, encode_number(horizon));
    batch
}
