//! A keyed work queue with client-go's promises (`util/workqueue`).
//!
//! An item waiting twice is handed out once; an item is never in two hands at a time; one added while it is worked on
//! comes back after `done`. Items may be added with a delay or with a back-off that grows per failure. Informer
//! subscriptions fill it, [`crate::work`] drains it. It starts no task: waiting callers keep the timers. One that has a name
//! measures itself.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use self::measures::Measures;
use crate::backoff::{Backoff, RateLimiter};

mod measures;
#[cfg(test)]
mod tests;

/// No delay is longer: an item asked for later comes at this time, is looked at, and asks again. Further into the future
/// a clock need not reach.
const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A de-duplicating, delaying, rate-limiting queue; clones share it.
#[derive(Debug)]
pub struct Queue<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    ready: VecDeque<T>,
    /// Everything that is to be worked on: what is in `ready`, and what came again while in `processing`.
    dirty: HashSet<T>,
    processing: HashSet<T>,
    /// The earliest deadline of each delayed item; heap entries that disagree are out of date.
    deadlines: HashMap<T, Instant>,
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    timer_items: HashMap<u64, T>,
    next_timer: u64,
    limiter: RateLimiter<T>,
    measures: Option<Measures<T>>,
    closed: bool,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Eq + Hash + Clone> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Eq + Hash + Clone> Queue<T> {
    /// An empty queue with client-go's default rate limits.
    pub fn new() -> Self {
        Self::with_backoff(Backoff::default())
    }

    /// An empty queue with the given limits for [`Queue::add_rate_limited`].
    pub fn with_backoff(limits: Backoff) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            deadlines: HashMap::new(),
            timers: BinaryHeap::new(),
            timer_items: HashMap::new(),
            next_timer: 0,
            limiter: RateLimiter::new(limits),
            measures: None,
            closed: false,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }))
    }

    /// An empty queue that measures itself under this name, which is upstream's where upstream has such a queue.
    pub fn named(name: &'static str) -> Self
    where
        T: Send + 'static,
    {
        let queue = Self::new();
        queue.lock().measures = Some(Measures::new(name));
        measures::observe(name, &queue.0);
        queue
    }

    /// Marks `item` as to be worked on.
    pub fn add(&self, item: T) {
        self.lock().add(item);
        self.0.changed.notify_one();
    }

    /// Adds `item` after `delay`, or after a year if that is longer; of several delays the shortest counts.
    pub fn add_after(&self, item: T, delay: Duration) {
        if delay.is_zero() {
            return self.add(item);
        }
        let deadline = Instant::now() + delay.min(MAX_DELAY);
        self.lock().add_at(item, deadline);
        self.0.changed.notify_one();
    }

    /// Adds `item` after the back-off that its failures so far ask for.
    pub fn add_rate_limited(&self, item: T) {
        let delay = {
            let mut state = self.lock();
            state.measures.iter().for_each(Measures::retry);
            state.limiter.when(&item, Instant::now())
        };
        self.add_after(item, delay);
    }

    /// Ends the back-off of `item`: its next failure counts as the first.
    pub fn forget(&self, item: &T) {
        self.lock().limiter.forget(item);
    }

    /// How often `item` was added rate-limited since it was last forgotten.
    pub fn failures(&self, item: &T) -> u32 {
        self.lock().limiter.failures(item)
    }

    /// Takes the next item, waiting for one; `None` once the queue is closed. Give it back with [`Queue::done`].
    pub async fn next(&self) -> Option<T> {
        loop {
            let deadline = {
                let mut state = self.lock();
                state.release_due(Instant::now());
                if state.closed {
                    return None;
                }
                if let Some(item) = state.take() {
                    // Another waiting worker has to look after what remains, timers included.
                    if !state.ready.is_empty() || !state.timers.is_empty() {
                        self.0.changed.notify_one();
                    }
                    return Some(item);
                }
                state.timers.peek().map(|Reverse((deadline, _))| *deadline)
            };
            self.wait(deadline).await;
        }
    }

    /// Says that work on `item` ended; if it was added meanwhile it is ready again.
    pub fn done(&self, item: &T) {
        let mut state = self.lock();
        state.processing.remove(item);
        if let Some(measures) = &mut state.measures {
            measures.done(item);
        }
        if state.dirty.contains(item) {
            state.ready.push_back(item.clone());
            self.0.changed.notify_one();
        }
    }

    /// Number of items ready to be taken.
    pub fn len(&self) -> usize {
        self.lock().ready.len()
    }

    /// Whether no item is ready to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the queue: everybody waiting gets `None`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_waiters();
        self.0.changed.notify_one();
    }

    async fn wait(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => tokio::select! {
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep_until(deadline) => {}
            },
            None => self.0.changed.notified().await,
        }
        if self.lock().closed {
            // `close` may have come between looking and waiting: hand its one permit on.
            self.0.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no panic happens while the queue is locked")
    }
}

impl<T: Eq + Hash + Clone> State<T> {
    fn add(&mut self, item: T) {
        self.deadlines.remove(&item);
        if self.closed || !self.dirty.insert(item.clone()) {
            return;
        }
        if let Some(measures) = &mut self.measures {
            measures.add(&item);
        }
        if self.processing.contains(&item) {
            return;
        }
        self.ready.push_back(item);
    }

    fn add_at(&mut self, item: T, deadline: Instant) {
        if self.closed || self.deadlines.get(&item).is_some_and(|earlier| *earlier <= deadline) {
            return;
        }
        self.deadlines.insert(item.clone(), deadline);
        let timer = self.next_timer;
        self.next_timer += 1;
        self.timers.push(Reverse((deadline, timer)));
        self.timer_items.insert(timer, item);
    }

    /// Makes ready what is due. A timer that an earlier one overtook finds another deadline and is dropped.
    fn release_due(&mut self, now: Instant) {
        while let Some(Reverse((deadline, timer))) = self.timers.peek().copied() {
            let item = &self.timer_items[&timer];
            let current = self.deadlines.get(item) == Some(&deadline);
            if current && deadline > now {
                return;
            }
            self.timers.pop();
            let item = self.timer_items.remove(&timer).expect("every timer has its item");
            if current {
                self.add(item);
            }
        }
    }

    fn take(&mut self) -> Option<T> {
        let item = self.ready.pop_front()?;
        self.dirty.remove(&item);
        self.processing.insert(item.clone());
        if let Some(measures) = &mut self.measures {
            measures.take(&item);
        }
        Some(item)
    }
}
