//! From published events to the watchers that they concern, and to no other.
//!
//! Live watches register a subscriber under the path of their range. Publication looks an event up under three paths
//! (its resource, its namespace, its key), so a watcher of anything else costs nothing. A subscriber's queue is bounded:
//! whoever takes too slowly is cut off, the publisher never waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::key::Extent;
use crate::{Event, Range, ring};

/// All live watches.
#[derive(Default)]
pub(crate) struct Fanout {
    subscribers: HashMap<Box<str>, BTreeMap<u64, Arc<Subscriber>>>,
    next: u64,
}

/// Names a registration, to end it.
#[derive(Debug)]
pub(crate) struct Ticket(u64);

impl Fanout {
    pub(crate) fn register(&mut self, range: &Range, subscriber: Arc<Subscriber>) -> Ticket {
        self.next += 1;
        self.subscribers.entry(range.path().into()).or_default().insert(self.next, subscriber);
        Ticket(self.next)
    }

    pub(crate) fn remove(&mut self, range: &Range, ticket: &Ticket) {
        if let Some(subscribers) = self.subscribers.get_mut(range.path()) {
            subscribers.remove(&ticket.0);
            if subscribers.is_empty() {
                self.subscribers.remove(range.path());
            }
        }
    }

    /// Queues an event for everyone it concerns; the tasks to wake for it are added to `wakers`.
    pub(crate) fn deliver(&self, event: &Arc<Event>, wakers: &mut Vec<Waker>) {
        if self.subscribers.is_empty() {
            return;
        }
        let path = event.entry.key.as_str();
        for extent in [Extent::Resource, Extent::Namespace, Extent::Key] {
            for subscriber in self.subscribers.get(extent.of(path)).into_iter().flat_map(BTreeMap::values) {
                wakers.extend(subscriber.push(event));
            }
        }
    }

    /// Tells everyone that no more events will come.
    pub(crate) fn close(&self) -> Vec<Waker> {
        self.subscribers
            .values()
            .flat_map(BTreeMap::values)
            .filter_map(|subscriber| subscriber.close())
            .collect()
    }
}

/// The end of a live watch into which events are put.
pub(crate) struct Subscriber {
    queue: Mutex<Queue>,
    limit: usize,
    limit_bytes: usize,
}

struct Queue {
    events: Vec<Arc<Event>>,
    bytes: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

/// Why nothing more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The watcher was too slow; what waited for it was dropped.
    CutOff,
    /// The store was closed.
    Closed,
}

impl Subscriber {
    /// `events` wait for it from the beginning; `limits` are the number and the bytes of what may wait later.
    pub(crate) fn new(events: Vec<Arc<Event>>, (limit, limit_bytes): (usize, usize)) -> Self {
        let bytes = events.iter().map(|event| ring::size(event)).sum();
        Self { queue: Mutex::new(Queue { events, bytes, end: None, waker: None }), limit, limit_bytes }
    }

    /// Everything that waits. An end is told once everything before it was taken.
    pub(crate) fn take(&self) -> Result<Vec<Arc<Event>>, End> {
        let mut queue = self.queue();
        match queue.end {
            Some(end) if queue.events.is_empty() => Err(end),
            _ => {
                queue.bytes = 0;
                Ok(std::mem::take(&mut queue.events))
            }
        }
    }

    /// Whether everything that was pushed has been taken.
    pub(crate) fn is_drained(&self) -> bool {
        let queue = self.queue();
        queue.events.is_empty() && queue.end != Some(End::CutOff)
    }

    /// Asks to be woken for the next event; true when there is something to take already.
    pub(crate) fn wake(&self, waker: &Waker) -> bool {
        let mut queue = self.queue();
        let ready = !queue.events.is_empty() || queue.end.is_some();
        if !ready && !queue.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            queue.waker = Some(waker.clone());
        }
        ready
    }

    fn push(&self, event: &Arc<Event>) -> Option<Waker> {
        let mut queue = self.queue();
        if queue.end.is_some() {
            return None;
        }
        queue.bytes += ring::size(event);
        // One event always fits, however large it is.
        if !queue.events.is_empty() && (queue.events.len() >= self.limit || queue.bytes > self.limit_bytes) {
            queue.events = Vec::new();
            queue.end = Some(End::CutOff);
        } else {
            queue.events.push(event.clone());
        }
        queue.waker.take()
    }

    pub(crate) fn close(&self) -> Option<Waker> {
        let mut queue = self.queue();
        queue.end.get_or_insert(End::Closed);
        queue.waker.take()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
