//! What was written and is not in the tables yet, in memory: the same as is in the journal.
//!
//! The engine adds batches, the flushing takes the oldest full layer into fjall's tables, a view sees all layers as they
//! were at one moment, above the tables as they were then. A key that was removed is kept as such, to hide the tables'.

use bytes::Bytes;
use imbl::OrdMap;
use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::EngineError;
use crate::engine::Change;

/// Pairs in order; `None` where the key was removed.
pub(super) type Pairs = OrdMap<Bytes, Option<Bytes>>;

/// What an entry takes beside its key and value, about.
const ENTRY: usize = 100;

/// The layers, and who waits for them to change.
#[derive(Default)]
pub(super) struct Layers {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    active: Pairs,
    active_bytes: usize,
    /// Oldest first.
    full: VecDeque<Full>,
    failure: Option<String>,
    ended: bool,
    /// One is out for each view.
    views: Arc<()>,
}

/// What is to be done in the background.
pub(super) enum Task {
    /// Make a table of this layer, the oldest.
    Flush(Full),
    /// There is time for something else.
    Rest,
    /// The engine is closed.
    End,
}

/// A layer that is not written to any more.
#[derive(Clone)]
pub(super) struct Full {
    pub(super) pairs: Pairs,
    /// The file of the journal that ends with it.
    pub(super) file: u64,
}

impl Layers {
    /// Adds changes; gives the bytes of the layer that they are in now.
    pub(super) fn add(&self, changes: Vec<Change>) -> usize {
        let mut state = self.state();
        for change in changes {
            let (key, value) = match change {
                Change::Put(key, value) => (key, Some(value)),
                Change::Remove(key) => (key, None),
            };
            state.active_bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + ENTRY;
            state.active.insert(key, value);
        }
        state.active_bytes
    }

    /// Begins a new layer; the one before ends with a file of the journal.
    pub(super) fn begin(&self, file: u64) {
        let mut state = self.state();
        let pairs = std::mem::take(&mut state.active);
        state.active_bytes = 0;
        state.full.push_back(Full { pairs, file });
        self.changed.notify_all();
    }

    /// Waits while more than `limit` full layers wait to become tables, and still can.
    pub(super) fn wait_for_room(&self, limit: usize) {
        let mut state = self.state();
        while state.is_crowded(limit) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether [`Self::wait_for_room`] would wait.
    #[cfg(test)]
    pub(super) fn is_crowded(&self, limit: usize) -> bool {
        self.state().is_crowded(limit)
    }

    /// Whether what is in memory can still become tables.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        self.state().check()
    }

    /// Waits for something to do, or until there was nothing for so long.
    pub(super) fn next_task(&self, patience: Option<Duration>) -> Task {
        let mut state = self.state();
        loop {
            if state.ended {
                return Task::End;
            }
            if let Some(full) = state.full.front() {
                return Task::Flush(full.clone());
            }
            state = match patience {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.changed.wait_timeout(state, patience);
                    let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && state.full.is_empty() && !state.ended {
                        return Task::Rest;
                    }
                    state
                }
            };
        }
    }

    /// The oldest full layer is in the tables.
    pub(super) fn flushed(&self) {
        let flushed = self.state().full.pop_front();
        self.changed.notify_all();
        // Its memory is freed while nobody waits for the lock.
        drop(flushed);
    }

    /// Nothing becomes tables any more.
    pub(super) fn fail(&self, cause: &EngineError) {
        self.state().failure.get_or_insert_with(|| cause.to_string());
        self.changed.notify_all();
    }

    pub(super) fn end(&self) {
        self.state().ended = true;
        self.changed.notify_all();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// All layers, newest first, and what `below` gives at the same moment; with what says that somebody looks at them.
    pub(super) fn view<T>(&self, below: impl FnOnce() -> T) -> (Vec<Pairs>, T, Arc<()>) {
        let state = self.state();
        let full = state.full.iter().rev().map(|full| full.pairs.clone());
        let layers = std::iter::once(state.active.clone()).chain(full).collect();
        (layers, below(), state.views.clone())
    }

    /// What `now` gives at a moment at which there is no view; nothing where there is one.
    pub(super) fn unless_viewed<T>(&self, now: impl FnOnce() -> T) -> Option<T> {
        let state = self.state();
        (Arc::strong_count(&state.views) == 1).then(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_crowded(&self, limit: usize) -> bool {
        self.full.len() > limit && self.failure.is_none() && !self.ended
    }

    fn check(&self) -> Result<(), EngineError> {
        self.failure.as_ref().map_or(Ok(()), |cause| Err(EngineError::new(cause.clone())))
    }
}

/// The pairs of a layer with `from <= key < to`.
pub(super) fn range<'a>(
    pairs: &'a Pairs,
    from: &[u8],
    to: &[u8],
) -> impl Iterator<Item = (Bytes, Option<Bytes>)> + use<'a> {
    let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(from), Bound::Excluded(to));
    pairs.range::<_, [u8]>(bounds).map(|(key, value)| (key.clone(), value.clone()))
}
