//! What the simulation of the embedded store reads: watches that come, go and resume, lists of the past, single keys.

use rand::Rng;
use testing::history::Window;

use super::subjects::{change, covers, identity, key, paged, range};
use super::{World, next};
use crate::{Item, ReadError, WatchError};

impl World {
    pub(super) fn watch(&mut self, at: usize) {
        let watcher = &mut self.watchers[at];
        let (store, log) = (&self.server.store, &self.log);
        let began = match watcher.watch.take() {
            Some(watch) if self.random.random_bool(0.8) => Ok(watch),
            _ => store.watch(watcher.range.clone(), watcher.position),
        };
        let mut watch = match began {
            Ok(watch) => watch,
            Err(WatchError::Compacted { horizon }) => {
                assert!(watcher.position < horizon && horizon == store.horizon());
                watcher.position = self.random.random_range(horizon..=log.tip());
                return;
            }
            Err(error) => panic!("{error}"),
        };
        // Longer than the watch waits before it tells of progress, or not at all.
        let patience = if self.random.random_bool(0.3) { 61_000 } else { 1 };
        for _ in 0..self.random.random_range(1..4) {
            let seen = match next(&self.runtime, &mut watch, patience) {
                Some(Ok(Item::Events(events))) => events.iter().map(|event| change(event)).collect(),
                Some(Ok(Item::Progress(revision))) => {
                    assert_eq!(revision, watch.position());
                    Vec::new()
                }
                Some(Err(WatchError::Lagged)) => return,
                Some(Err(WatchError::Compacted { horizon })) => {
                    assert!(watcher.position < horizon);
                    watcher.position = horizon;
                    return;
                }
                Some(Err(error)) => panic!("{error}"),
                None => {
                    // Nothing more to come: it has seen all there is.
                    log.check_watch(covers(&watcher.range), watcher.position, log.tip(), &[]);
                    break;
                }
            };
            log.check_watch(covers(&watcher.range), watcher.position, watch.position(), &seen);
            watcher.position = watch.position();
        }
        watcher.watch = Some(watch);
    }

    /// A list at a revision, in pages.
    pub(super) fn list(&mut self) {
        let (store, range) = (&self.server.store, range(&mut self.random));
        let (horizon, tip) = (store.horizon(), store.revision());
        let revision = self.random.random_range(horizon.saturating_sub(2)..=tip + 1);
        let limit = self.random.random_range(0..4);
        let is_due = || assert!((horizon..=tip).contains(&revision));
        match paged(&self.runtime, store, &range, (revision, limit), is_due) {
            Ok(found) => self.log.check_list(covers(&range), revision, &found),
            Err(ReadError::Compacted { .. }) => assert!(revision < horizon),
            Err(ReadError::Future { .. }) => assert!(revision > tip),
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) fn read(&mut self) {
        let (key, tip) = (key(&mut self.random), self.log.tip());
        let found = self.server.store.get(&key);
        let window = Window { since: tip, until: tip };
        self.log.check_read(key.as_str(), window, found.as_ref().map(|entry| entry.revision));
        if let Some(entry) = found {
            let written = self.log.after(entry.revision - 1)[0].write;
            assert_eq!(identity(&entry.bytes), written, "{key} is not what was written");
        }
    }
}
