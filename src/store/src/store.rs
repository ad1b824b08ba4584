//! The public face: writes go to the sequencer, reads to the current map or the history.

use prometheus::proto::MetricFamily;
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod list;
mod sealed;

pub use list::{Page, Snapshot};

use crate::cluster::membership::Membership;
use crate::cluster::wire::Forward;
use crate::cluster::{self, Peer};
use crate::engine::Engine;
use crate::history::History;
use crate::sequencer::{Command, Request};
use crate::shared::Shared;
use crate::snapshot::{self, Passphrase, Sharing, Summary, Transfer};
use crate::watch::Watch;
use crate::{
    CommitError, Committed, Departure, EngineError, Entry, Key, OpenError, Options, Precondition, Range,
    ReadError, Revision, WatchError, Write, compaction, comparison, metrics, recovery, sequencer,
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

    /// Stops the writes of all servers that share the engine, because the state leaves it; gives the revision that stays
    /// the newest, up to which this store has everything. Until [`crate::reopen`] or [`crate::conclude`], writes and
    /// linearizable reads wait for a while, then fail and say why.
    ///
    /// # Errors
    /// It may have been done all the same; [`crate::reopen`] makes that certain. An engine that belongs to one process
    /// cannot be sealed: there it is enough to end the store.
    pub async fn seal(&self, departure: Departure) -> Result<Revision, EngineError> {
        match &self.writes {
            Writes::Alone(_) => Err(EngineError::new("the engine belongs to one process")),
            Writes::Joined(joined) => joined.seal(departure).await,
        }
    }

    /// Returns when the state has gone to another engine for good and this server is of no use any more.
    pub async fn departed(&self) -> Departure {
        match &self.writes {
            Writes::Alone(_) => std::future::pending().await,
            Writes::Joined(joined) => joined.departed().await,
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

    /// The newest published revision; 1 in a store that was never written to.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.shared.tip()
    }

    /// The current entry of a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.shared.get(key)
    }

    /// The present of a range; costs the same however much is in it.
    #[must_use]
    pub fn snapshot(&self, range: &Range) -> Snapshot {
        let (revision, entries, has_unreadable) = self.shared.entries(range);
        Snapshot::new(revision, entries, range.clone(), has_unreadable)
    }

    /// A range as it was at a revision: at most `limit` entries (0: all) behind the key `after`.
    ///
    /// # Errors
    /// When the revision was compacted or does not exist yet, or the engine fails.
    pub async fn list_at(
        &self,
        range: &Range,
        revision: Revision,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, ReadError> {
        self.shared.check_readable(revision)?;
        let limit = if limit == 0 { usize::MAX } else { limit };
        if let Some(entries) = self.shared.entries_at(range, revision) {
            return Ok(Snapshot::new(revision, entries, range.clone(), true).page(after, limit));
        }
        let (range, after) = (range.clone(), after.cloned());
        let (entries, more) = self
            .read_history(revision, move |history| history.list_at(&range, revision, after.as_ref(), limit))
            .await?;
        // Counting the rest would mean reading it.
        Ok(Page { entries, more, remaining: if more { None } else { Some(0) } })
    }

    /// The entry of a key as it was at a revision.
    ///
    /// # Errors
    /// As [`Store::list_at`].
    pub async fn get_at(&self, key: &Key, revision: Revision) -> Result<Option<Arc<Entry>>, ReadError> {
        self.shared.check_readable(revision)?;
        if let Some(entry) = self.shared.get(key).filter(|entry| entry.revision <= revision) {
            return Ok(Some(entry));
        }
        let range = Range::key(key);
        if let Some(entries) = self.shared.entries_at(&range, revision) {
            return Ok(entries.get(key).cloned());
        }
        let key = key.clone();
        self.read_history(revision, move |history| history.get_at(&key, revision)).await
    }

    /// Writes a snapshot of the newest revision while the store goes on, encrypted if there is a passphrase; gives back what
    /// it was written to. It is called where blocking is allowed and takes one block of memory.
    ///
    /// # Errors
    /// When the store cannot be read, or what is written to fails; what was written until then is no snapshot.
    pub async fn save<W: io::Write + Send + 'static>(
        &self,
        out: W,
        passphrase: Option<Passphrase>,
    ) -> Result<(W, Summary), snapshot::Error> {
        self.catch_up().await?;
        let shared = self.shared.clone();
        let save = move || snapshot::save(&shared, out, passphrase.as_ref());
        let saved = tokio::task::spawn_blocking(save).await;
        saved.unwrap_or_else(|error| Err(snapshot::Error::Ended(error.to_string())))
    }

    /// Copies everything, history included, into an empty engine while the store goes on; see [`Transfer`]. Once it is
    /// cancelled, this and what is done with the transfer later ends soon, and nothing more is written to the target.
    ///
    /// # Errors
    /// When the target is not empty, either engine fails, or it was cancelled. This store is as it was in any case.
    pub async fn transfer(
        &self,
        target: Engine,
        sharing: Sharing,
        cancel: CancellationToken,
    ) -> Result<Transfer, snapshot::Error> {
        self.catch_up().await?;
        Transfer::begin(self.shared.clone(), target, sharing, cancel).await
    }

    /// Returns once the given revision is published.
    pub async fn wait_for(&self, revision: Revision) {
        // The sender lives in `shared`, so this ends only when the revision is there.
        drop(self.shared.follow_tip().wait_for(|tip| *tip >= revision).await);
    }

    /// The events of a range behind a revision.
    ///
    /// # Errors
    /// When events behind the revision were compacted, or it does not exist yet.
    pub fn watch(&self, range: Range, after: Revision) -> Result<Watch, WatchError> {
        self.shared.check_readable(after)?;
        Ok(Watch::new(self.shared.clone(), range, after))
    }

    /// The oldest revision that can still be listed, and watched from.
    #[must_use]
    pub fn horizon(&self) -> Revision {
        self.shared.horizon()
    }

    /// The watches that exist.
    #[must_use]
    pub fn watch_count(&self) -> usize {
        self.shared.watch_count()
    }

    /// What there is to tell about the store, for a page of metrics; looks at every object's size.
    pub async fn metrics(&self) -> Vec<MetricFamily> {
        let (store, bytes) = (self.clone(), self.size_in_bytes().await.ok());
        let gather = move || metrics::gather(&store.shared, bytes, store.is_writable());
        tokio::task::spawn_blocking(gather).await.unwrap_or_default()
    }

    /// What the store takes on the disk; asks the file system.
    ///
    /// # Errors
    /// When the engine cannot tell.
    pub async fn size_in_bytes(&self) -> Result<u64, ReadError> {
        let shared = self.shared.clone();
        let size = tokio::task::spawn_blocking(move || shared.engine.size_in_bytes()).await;
        size.unwrap_or_else(|error| Err(EngineError::new(error)))
            .map_err(|error| ReadError::Engine(error.to_string()))
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

    /// Reads from the engine where blocking is allowed, if the revision is still there.
    async fn read_history<T: Send + 'static>(
        &self,
        revision: Revision,
        read: impl FnOnce(&History<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = self.shared.clone();
        let read = move || {
            let snapshot = shared.engine.snapshot();
            shared.check_snapshot(&*snapshot, revision)?;
            let history = shared.history(&*snapshot);
            read(&history).map_err(|error| ReadError::Engine(error.to_string()))
        };
        let joined = tokio::task::spawn_blocking(read).await;
        joined.unwrap_or_else(|error| Err(ReadError::Engine(error.to_string())))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}
