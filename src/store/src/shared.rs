//! What the sequencer, readers, watches and compaction share, and the one lock that makes a publication atomic.
//!
//! The sequencer alone changes the state, a whole group at a time, under the write lock; everyone else looks at it
//! under the read lock for moments. So whoever sees a revision sees everything up to it, in the current map, in the ring
//! and in the watchers' queues alike. Nothing here blocks on the engine.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Waker;
use tokio::sync::{Notify, watch};

use crate::current::{Current, Entries, undo};
use crate::engine::Snapshot;
use crate::fanout::{Fanout, Subscriber, Ticket};
use crate::history::History;
use crate::metrics::Metrics;
use crate::record;
use crate::recovery::number;
use crate::ring::Ring;
use crate::{Engine, EngineError, Entry, Event, Key, Options, Range, ReadError, Revision};

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) options: Options,
    /// Whether other servers write to the same engine.
    joined: bool,
    state: RwLock<State>,
    tip: watch::Sender<Revision>,
    horizon: AtomicU64,
    poison: OnceLock<String>,
    history_bytes: AtomicU64,
    /// Told when the history outgrows its limit.
    pub(crate) history_full: Notify,
    /// Watches that exist.
    pub(crate) watches: AtomicUsize,
    pub(crate) metrics: Metrics,
}

struct State {
    current: Current,
    tip: Revision,
    ring: Ring,
    // A lock of its own so that watches come and go under the read lock.
    fanout: Mutex<Fanout>,
    closed: bool,
}

/// What recovery found.
pub(crate) struct Recovered {
    pub(crate) current: Current,
    pub(crate) tip: Revision,
    pub(crate) horizon: Revision,
    pub(crate) history_bytes: u64,
    /// The time of the newest write.
    pub(crate) time_ms: u64,
}

/// Where a watch stands after it asked for what it has missed.
pub(crate) enum CatchUp {
    /// What it has missed waits in the subscriber's queue, and the rest will come there.
    Live {
        subscriber: Arc<Subscriber>,
        ticket: Ticket,
        /// It has missed nothing up to here.
        position: Revision,
    },
    /// Some of what it has missed is older than the ring.
    Past,
}

impl Shared {
    pub(crate) fn new(engine: Engine, options: Options, joined: bool, recovered: Recovered) -> Self {
        let ring = Ring::new(recovered.tip, options.ring, options.ring_bytes);
        let state = State {
            current: recovered.current,
            tip: recovered.tip,
            ring,
            fanout: Mutex::default(),
            closed: false,
        };
        Self {
            engine,
            options,
            joined,
            state: RwLock::new(state),
            tip: watch::Sender::new(recovered.tip),
            horizon: AtomicU64::new(recovered.horizon),
            poison: OnceLock::new(),
            history_bytes: AtomicU64::new(recovered.history_bytes),
            history_full: Notify::new(),
            watches: AtomicUsize::new(0),
            metrics: Metrics::new(),
        }
    }

    // Reading.

    pub(crate) fn tip(&self) -> Revision {
        self.read().tip
    }

    /// Follows the newest published revision.
    pub(crate) fn follow_tip(&self) -> watch::Receiver<Revision> {
        self.tip.subscribe()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.read().current.get(key).cloned()
    }

    /// The present of a range's resource, and whether there may be unreadable entries in it.
    pub(crate) fn entries(&self, range: &Range) -> (Revision, Entries, bool) {
        let state = self.read();
        (state.tip, state.current.entries(range), state.current.has_unreadable())
    }

    /// The entries whose stored form could not be opened.
    pub(crate) fn unreadable(&self) -> Vec<Arc<Entry>> {
        self.read().current.unreadable()
    }

    /// Puts versions that can be read now in the place of unreadable ones; to whoever reads nothing else changes.
    pub(crate) fn opened(&self, entries: Vec<Arc<Entry>>) {
        self.write().current.opened(entries);
    }

    /// The present of every resource, by `<group>/<resource>`.
    pub(crate) fn collections(&self) -> Vec<(Box<str>, Entries)> {
        self.read().current.collections()
    }

    /// The current entries that are wanted. `of` is asked once for each resource, by the key of any entry of it, and gives what
    /// tells the wanted ones; `None` where there is none.
    pub(crate) fn select<W: Fn(&Entry) -> bool>(&self, of: impl Fn(&Key) -> Option<W>) -> Vec<Arc<Entry>> {
        let mut selected = Vec::new();
        for (_, entries) in self.collections() {
            if let Some(is_wanted) = entries.keys().next().and_then(&of) {
                selected.extend(entries.values().filter(|entry| is_wanted(entry)).cloned());
            }
        }
        selected
    }

    pub(crate) fn watch_count(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }

    /// A range as it was at a revision, or `None` where the ring does not reach back so far. What the range does not
    /// cover is as it is now.
    pub(crate) fn entries_at(&self, range: &Range, revision: Revision) -> Option<Entries> {
        let state = self.read();
        let later = state.ring.after(revision)?;
        let mut entries = state.current.entries(range);
        undo(&mut entries, range, later);
        Some(entries)
    }

    /// Whether a revision can be read: neither compacted nor yet to come.
    ///
    /// Whoever reads it from the engine asks this after having taken the engine's snapshot: records are only removed
    /// after the horizon was moved past them.
    pub(crate) fn check_readable(&self, revision: Revision) -> Result<(), ReadError> {
        let (horizon, tip) = (self.horizon(), self.tip());
        if revision < horizon {
            return Err(ReadError::Compacted { horizon });
        }
        if revision > tip {
            return Err(ReadError::Future { tip });
        }
        Ok(())
    }

    /// As [`Shared::check_readable`], for a snapshot of the engine. Where other servers compact, it is the snapshot that
    /// knows the horizon.
    pub(crate) fn check_snapshot(
        &self,
        snapshot: &dyn Snapshot,
        revision: Revision,
    ) -> Result<(), ReadError> {
        if self.joined {
            let horizon = number(snapshot, record::HORIZON_KEY)?;
            self.raise_horizon(horizon.unwrap_or_default());
        }
        self.check_readable(revision)
    }

    /// Reads from the engine where blocking is allowed, if the revision is still there.
    pub(crate) async fn read_history<T: Send + 'static>(
        self: &Arc<Self>,
        revision: Revision,
        read: impl FnOnce(&History<'_>) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let read = move |shared: &Self| {
            let snapshot = shared.engine.snapshot();
            shared.check_snapshot(&*snapshot, revision)?;
            Ok(read(&shared.history(&*snapshot))?)
        };
        self.blocking(read).await
    }

    /// Does something with the engine where blocking is allowed.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|error| Err(EngineError::new(error).into()))
    }

    /// The history as a snapshot of the engine has it, up to what is published.
    pub(crate) fn history<'a>(&'a self, snapshot: &'a dyn Snapshot) -> History<'a> {
        History { snapshot, options: &self.options, tip: self.tip() }
    }

    // Watching.

    /// Makes a watch that has everything up to `position` live, in one step, so that no event falls between.
    pub(crate) fn catch_up(&self, range: &Range, position: Revision) -> CatchUp {
        let state = self.read();
        let Some(later) = state.ring.after(position) else { return CatchUp::Past };
        let missed: Vec<_> = later.filter(|event| range.contains(&event.entry.key)).cloned().collect();
        let position = if missed.is_empty() { state.tip } else { position };
        let limits = (self.options.watch_backlog, self.options.watch_backlog_bytes);
        let subscriber = Arc::new(Subscriber::new(missed, limits));
        if state.closed {
            subscriber.close();
        }
        let ticket = lock(&state.fanout).register(range, subscriber.clone());
        CatchUp::Live { subscriber, ticket, position }
    }

    pub(crate) fn unregister(&self, range: &Range, ticket: &Ticket) {
        // Called when a watch is dropped, perhaps by a panic: not the place for another one.
        if let Ok(state) = self.state.read() {
            lock(&state.fanout).remove(range, ticket);
        }
    }

    /// The newest revision, if nothing up to it waits in the subscriber's queue.
    pub(crate) fn tip_if_drained(&self, subscriber: &Subscriber) -> Option<Revision> {
        let state = self.read();
        subscriber.is_drained().then_some(state.tip)
    }

    // Publishing; the sequencer only.

    /// Makes a durable group visible: all of it at once, in order. The tasks to wake are returned.
    pub(crate) fn publish(&self, events: impl Iterator<Item = Arc<Event>>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut state = self.write();
        for event in events {
            state.current.apply(&event);
            state.fanout.get_mut().unwrap_or_else(PoisonError::into_inner).deliver(&event, &mut wakers);
            state.tip = event.entry.revision;
            state.ring.push(event);
        }
        let tip = state.tip;
        drop(state);
        self.tip.send_replace(tip);
        wakers
    }

    /// Ends all watches once they have taken what waits for them.
    pub(crate) fn close(&self) {
        let mut state = self.write();
        state.closed = true;
        let wakers = lock(&state.fanout).close();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    // The engine's failure.

    /// Remembers that the engine failed; the first cause stays.
    pub(crate) fn poison(&self, cause: &str) {
        tracing::error!(cause, "the store's engine failed; nothing is written any more");
        self.poison.get_or_init(|| cause.to_owned());
    }

    pub(crate) fn poisoned(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    // Compaction.

    pub(crate) fn horizon(&self) -> Revision {
        self.horizon.load(Ordering::SeqCst)
    }

    pub(crate) fn raise_horizon(&self, horizon: Revision) {
        self.horizon.fetch_max(horizon, Ordering::SeqCst);
    }

    /// Takes the horizon that the engine holds: an attempt to raise it may have failed after this server had raised its own.
    pub(crate) fn horizon_is(&self, horizon: Revision) {
        self.horizon.store(horizon, Ordering::SeqCst);
    }

    pub(crate) fn history_bytes(&self) -> u64 {
        self.history_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn history_grew(&self, bytes: u64) {
        let before = self.history_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.options.history_limit {
            self.history_full.notify_one();
        }
    }

    /// Says how much history there is, where others have added to it and taken from it.
    pub(crate) fn history_is(&self, bytes: u64) {
        self.history_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn history_shrank(&self, bytes: u64) {
        // Not below nothing: where other servers write and forget, too, what was counted is an estimate.
        let shrink = |before: u64| Some(before.saturating_sub(bytes));
        // It always gives a number, so this cannot fail.
        self.history_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, shrink).ok();
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("only the sequencer changes the state, and its panics end the store")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("only the sequencer changes the state, and its panics end the store")
    }
}

fn lock(fanout: &Mutex<Fanout>) -> MutexGuard<'_, Fanout> {
    fanout.lock().unwrap_or_else(PoisonError::into_inner)
}
