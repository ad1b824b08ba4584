//! The most recent events of all resources, in order and without gaps, in memory.
//!
//! Filled at publication; read by watches that begin (or catch up) in the recent past and by lists at a recent
//! revision, which so need no disk. Bounded in number and bytes; what falls out is found in the log.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::{Event, Revision};

pub(crate) struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// The revision of the newest event, or where the ring began when it is empty.
    tip: Revision,
    limit: usize,
    limit_bytes: usize,
}

impl Ring {
    pub(crate) fn new(tip: Revision, limit: usize, limit_bytes: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, tip, limit, limit_bytes }
    }

    /// Adds the next event, pushing out the oldest where there is no room.
    pub(crate) fn push(&mut self, event: Arc<Event>) {
        assert_eq!(event.entry.revision, self.tip + 1, "events are published in order, none left out");
        self.tip += 1;
        self.bytes += size(&event);
        self.events.push_back(event);
        while self.events.len() > self.limit || self.bytes > self.limit_bytes {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= size(&oldest);
        }
    }

    /// All events behind `revision`, or `None` when some of them are here no longer.
    pub(crate) fn after(&self, revision: Revision) -> Option<impl DoubleEndedIterator<Item = &Arc<Event>>> {
        let wanted = usize::try_from(self.tip.saturating_sub(revision)).ok()?;
        let skipped = self.events.len().checked_sub(wanted)?;
        Some(self.events.range(skipped..))
    }
}

/// What an event keeps in memory, as far as it depends on its content.
pub(crate) fn size(event: &Event) -> usize {
    event.entry.bytes.len() + event.previous.as_ref().map_or(0, |previous| previous.bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, Entry, EventKind, Key, Sealing};

    fn event(revision: Revision, bytes: usize) -> Arc<Event> {
        let entry = Entry {
            key: Key::new("", "pods", "default", "a"),
            revision,
            created: revision,
            bytes: vec![0; bytes].into(),
            attributes: Attributes::default(),
            sealing: Sealing::Plain,
        };
        Arc::new(Event { kind: EventKind::Created, entry: entry.into(), previous: None })
    }

    fn check(ring: &Ring, after: Revision, expected: Option<&[Revision]>) {
        let found =
            ring.after(after).map(|events| events.map(|event| event.entry.revision).collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "after {after}");
    }

    #[test]
    fn an_empty_ring_knows_only_its_beginning() {
        let ring = Ring::new(7, 3, 100);
        check(&ring, 6, None);
        check(&ring, 7, Some(&[]));
    }

    #[test]
    fn the_ring_keeps_the_newest_within_its_limits() {
        let mut ring = Ring::new(7, 3, 100);
        for revision in 8..=11 {
            ring.push(event(revision, 1));
        }
        check(&ring, 7, None);
        check(&ring, 8, Some(&[9, 10, 11]));
        check(&ring, 11, Some(&[]));
        ring.push(event(12, 99));
        check(&ring, 9, None);
        check(&ring, 10, Some(&[11, 12]));
        ring.push(event(13, 1000));
        check(&ring, 12, None);
        check(&ring, 13, Some(&[]));
    }
}
