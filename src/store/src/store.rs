//! The public face: how a store is opened, written to and closed; reads are in [`reading`].

use prometheus::proto::MetricFamily;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod leaving;
mod list;
mod reading;
mod sealed;

pub use list::{Page, Snapshot};

use crate::cluster::membership::Membership;
use crate::cluster::wire::Forward;
use crate::cluster::{self, Peer};
use crate::engine::Engine;
use crate::sequencer::{Command, Request};
use crate::shared::Shared;
use crate::{
    CommitError, Committed, EngineError, Key, OpenError, Options, Precondition, ReadError, Write, compaction,
    comparison, metrics, recovery, sequencer,
};

/// Writes that may wait for the sequencer; whoever comes then waits for room.
const QUEUE: usize = 4096;

/// An open store; clones are handles to the same one.
///
/// It is closed when the last handle is dropped, or by [`Store::close`]; the engine is released when the last watch is
/// gone too.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    writes: Writes,
    background: Arc<Background>,
}

/// Who orders the writes.
#[derive(Clone)]
enum Writes {
    /// This process alone.
    Alone(mpsc::Sender<Command>),
    /// One of several servers.
    Joined(Membership),
}

/// What runs beside the callers: the sequencer's thread, which ends when nobody can send it commands any more, and the
/// compaction and the connections to other servers, which end when this is dropped.
struct Background {
    running: TaskTracker,
    compaction: CancellationToken,
}

impl Drop for Background {
    fn drop(&mut self) {
        self.compaction.cancel();
    }
}

impl Store {
    /// Recovers what the engine holds and begins to serve it. Has to be called within a tokio runtime with time.
    ///
    /// # Errors
    /// When anything that was acknowledged is missing or not what was written; see [`OpenError`].
    pub async fn open(engine: Engine, options: Options) -> Result<Self, OpenError> {
        let recover = move || {
            let recovered = recovery::recover(&engine, &options)?;
            let time_ms = recovered.time_ms;
            Ok::<_, OpenError>((Arc::new(Shared::new(engine, options, false, recovered)), time_ms))
        };
        let recovered = tokio::task::spawn_blocking(recover).await;
        let (shared, time_ms) = recovered.map_err(EngineError::new)??;
        let (commands, receiver) = mpsc::channel(QUEUE);
        let background = Background { running: TaskTracker::new(), compaction: CancellationToken::new() };
        let (worker, token) = (shared.clone(), background.running.token());
        let sequence = move || {
            sequencer::run(&worker, receiver, time_ms);
            // The token goes last: whoever waits for it may rely on the engine being let go.
            drop(worker);
            drop(token);
        };
        std::thread::Builder::new().name("sequencer".to_owned()).spawn(sequence).map_err(EngineError::new)?;
        background.running.spawn(compaction::run(shared.clone(), background.compaction.clone()));
        background.running.spawn(comparison::run(shared.clone(), background.compaction.clone()));
        Ok(Self { shared, writes: Writes::Alone(commands), background: Arc::new(background) })
    }

    /// The face of what a simulation drives itself: whoever has the other end of `commands` is the sequencer.
    #[cfg(test)]
    pub(crate) fn driven(shared: Arc<Shared>, commands: mpsc::Sender<Command>) -> Self {
        let background = Background { running: TaskTracker::new(), compaction: CancellationToken::new() };
        Self { shared, writes: Writes::Alone(commands), background: Arc::new(background) }
    }

    /// As [`Store::open`], for an engine that other servers have open too: they are one store, a client may write to and
    /// read from any. Returns once this server knows who orders the writes.
    ///
    /// # Errors
    /// As [`Store::open`]; an engine that belongs to one process cannot be joined.
    pub async fn join(engine: Engine, options: Options, peer: Peer) -> Result<Self, OpenError> {
        let options = cluster::member::bounded(options);
        let recover = move || {
            let recovered = recovery::recover_shared(&engine, &options)?;
            let time_ms = recovered.time_ms;
            Ok::<_, OpenError>((Arc::new(Shared::new(engine, options, true, recovered)), time_ms))
        };
        let recovered = tokio::task::spawn_blocking(recover).await;
        let (shared, time_ms) = recovered.map_err(EngineError::new)??;
        let background = Background { running: TaskTracker::new(), compaction: CancellationToken::new() };
        let (running, cancel) = (&background.running, &background.compaction);
        background.running.spawn(comparison::run(shared.clone(), background.compaction.clone()));
        let joined = cluster::join(shared.clone(), time_ms, peer, running, cancel).await?;
        Ok(Self { shared, writes: Writes::Joined(joined), background: Arc::new(background) })
    }

    /// Writes one key; answers once the write is durable and published. Whether it is done when the future is dropped
    /// is open.
    ///
    /// # Errors
    /// See [`CommitError`]; after [`CommitError::Unknown`] the write may or may not have been done, after any other it
    /// was not.
    pub async fn commit(
        &self,
        key: Key,
        precondition: Precondition,
        write: Write,
    ) -> Result<Committed, CommitError> {
        let options = &self.shared.options;
        if !key.is_valid() {
            return Err(CommitError::BadKey(key.as_str().to_owned()));
        }
        let (size, limit) = (write.value().size(), options.value_limit);
        if size > limit {
            return Err(CommitError::TooLarge { size, limit });
        }
        if let Some(cause) = self.shared.poisoned() {
            return Err(CommitError::Poisoned(cause.to_owned()));
        }
        // Here, on the caller's thread, and not on the sequencer's, of which there is only one.
        let attributes = (options.extract)(&key, &write.value().preview());
        let commands = match &self.writes {
            Writes::Alone(commands) => commands,
            Writes::Joined(joined) => {
                return joined.commit(Forward { key, precondition, write }, attributes).await;
            }
        };
        let (answer, outcome) = oneshot::channel();
        let request = Request { key, precondition, write, attributes, answer };
        commands.send(Command::Commit(request)).await.map_err(|_| CommitError::Closed)?;
        outcome.await.unwrap_or_else(|_| Err(CommitError::Unknown("the sequencer has ended".to_owned())))
    }

    /// Whether writes can be taken: not after the engine failed, and not after the store was closed.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let is_closed = match &self.writes {
            Writes::Alone(commands) => commands.is_closed(),
            Writes::Joined(joined) => joined.is_closed(),
        };
        self.shared.poisoned().is_none() && !is_closed
    }

    /// Whether this process orders the writes: always, unless several share the engine and another one does.
    #[must_use]
    pub fn orders_writes(&self) -> bool {
        match &self.writes {
            Writes::Alone(_) => true,
            Writes::Joined(joined) => joined.orders_writes(),
        }
    }

    /// Returns once this store has every write that was answered before this was called, by whatever server: a read that
    /// follows is linearizable. At once where one process has the engine.
    ///
    /// # Errors
    /// [`ReadError::Engine`] when that cannot be found out, or takes too long.
    pub async fn catch_up(&self) -> Result<(), ReadError> {
        match &self.writes {
            Writes::Alone(_) => Ok(()),
            Writes::Joined(joined) => joined.catch_up().await,
        }
    }

    /// The watches that exist.
    #[must_use]
    pub fn watch_count(&self) -> usize {
        self.shared.watch_count()
    }

    /// What there is to tell about the store, for a page of metrics; looks at every object's size.
    pub async fn metrics(&self) -> Vec<MetricFamily> {
        let store = self.clone();
        let situation = metrics::Situation {
            bytes: self.size_in_bytes().await.ok(),
            is_writable: self.is_writable(),
            orders_writes: self.orders_writes(),
        };
        let gather = move || metrics::gather(&store.shared, &situation);
        tokio::task::spawn_blocking(gather).await.unwrap_or_default()
    }

    /// What the store takes on the disk; asks the file system.
    ///
    /// # Errors
    /// When the engine cannot tell.
    pub async fn size_in_bytes(&self) -> Result<u64, ReadError> {
        self.shared.blocking(|shared| Ok(shared.engine.size_in_bytes()?)).await
    }

    /// Finishes the writes that wait, makes everything durable and ends; later writes are refused, watches end once they
    /// have delivered what waits for them, reads go on.
    pub async fn shutdown(&self) {
        match &self.writes {
            // An error says that it has ended already.
            Writes::Alone(commands) => drop(commands.send(Command::Stop).await),
            Writes::Joined(joined) => joined.stop().await,
        }
        self.background.compaction.cancel();
        self.background.running.close();
        self.background.running.wait().await;
    }

    /// As [`Store::shutdown`], and gives the handle back: if it was the last one and no watch is left, the engine has
    /// been released when this returns.
    pub async fn close(self) {
        self.shutdown().await;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
