//! The one place where writes get their order.
//!
//! A thread of its own, because it waits for the disk. It takes all writes that wait (a lone one pays one sync, a
//! thousand share it), checks each precondition against the current map and the writes before it in the same group,
//! gives out consecutive revisions, hands the engine one batch, waits until it is durable, publishes it in order and
//! only then answers. Refusals are answered at the same moment, since they may rest on a write of the same group.
//! It sleeps while there is nothing to write. When the engine fails, nobody is told a wrong outcome: the group's is
//! unknown, and no further write is tried.

use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

pub(crate) mod group;

use crate::engine::{Batch, Durability};
use crate::shared::Shared;
use crate::{Attributes, CommitError, Committed, Key, Precondition, Revision, Write};
use group::Group;

/// What the sequencer is asked to do.
pub(crate) enum Command {
    Commit(Request),
    /// Finish what was asked before, then end.
    Stop,
}

/// A write that waits for its turn.
pub(crate) struct Request {
    pub(crate) key: Key,
    pub(crate) precondition: Precondition,
    pub(crate) write: Write,
    pub(crate) attributes: Attributes,
    pub(crate) answer: oneshot::Sender<Outcome>,
}

pub(crate) type Outcome = Result<Committed, CommitError>;

/// Runs until it is told to stop or nobody is left who could ask for anything. `time_ms` is the time of the newest
/// write found at recovery.
pub(crate) fn run(shared: &Arc<Shared>, mut commands: mpsc::Receiver<Command>, mut time_ms: u64) {
    let _fuse = Fuse(shared);
    let mut waiting = Vec::new();
    let mut stopped = false;
    while !stopped && commands.blocking_recv_many(&mut waiting, shared.options.group) > 0 {
        time_ms = later(shared, time_ms);
        stopped = serve(shared, &mut waiting, time_ms);
    }
    commands.close();
    while let Some(command) = commands.blocking_recv() {
        refuse(command);
    }
    if shared.poisoned().is_none()
        && let Err(error) = shared.engine.sync()
    {
        shared.poison(&error.to_string());
    }
    shared.close();
}

/// The time of day; time never runs backwards in the log, whatever the clock does.
pub(crate) fn later(shared: &Shared, time_ms: u64) -> u64 {
    time_ms.max(shared.options.clock.now().as_millis().try_into().unwrap_or(u64::MAX))
}

/// Commits what waits, in as many groups as its size demands; true when it was told to stop.
pub(crate) fn serve(shared: &Shared, waiting: &mut Vec<Command>, time_ms: u64) -> bool {
    let mut group = Group::new(shared, time_ms, waiting.len());
    let mut stopped = false;
    for command in waiting.drain(..) {
        match command {
            Command::Stop => stopped = true,
            Command::Commit(_) if stopped => refuse(command),
            Command::Commit(request) => {
                if !group.has_room(&request) {
                    group.commit(|batch, last| write(shared, batch, last));
                    group = Group::new(shared, time_ms, 1);
                }
                group.add(request);
            }
        }
    }
    group.commit(|batch, last| write(shared, batch, last));
    stopped
}

/// Hands the engine a group that ends with `last`, and waits for the disk.
fn write(shared: &Shared, batch: Batch, last: Revision) -> Result<(), CommitError> {
    let engine = &shared.engine;
    let _measured = shared.metrics.commits.start_timer();
    let written = engine.write(batch, Durability::Synced).and_then(|()| engine.acknowledge(last));
    written.map_err(|error| {
        shared.poison(&error.to_string());
        CommitError::Unknown(error.to_string())
    })
}

fn refuse(command: Command) {
    if let Command::Commit(request) = command {
        answer(request.answer, Err(CommitError::Closed));
    }
}

/// Whoever asked may have gone; the write is done all the same.
pub(crate) fn answer(to: oneshot::Sender<Outcome>, outcome: Outcome) {
    drop(to.send(outcome));
}

/// Poisons the store when the sequencer panics, so that later writes are told.
pub(crate) struct Fuse<'a>(pub(crate) &'a Shared);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("the sequencer panicked");
        }
    }
}
