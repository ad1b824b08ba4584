//! What clients of the simulated cluster read: lists of the present and the past, and single keys when it has to be the newest.

use rand::Rng;
use testing::history::Window;

use super::{World, key, range};
use crate::ReadError;
use crate::simulation::subjects::{covers, paged};

impl World {
    /// A list at a revision, in pages, whatever server it is asked of.
    pub(super) fn list(&mut self, at: usize) {
        let (range, store) = (range(&mut self.random), &self.servers[at].store);
        let tip = store.revision();
        // A server may know of a horizon that it has not reached itself.
        let oldest = store.horizon().saturating_sub(2).min(tip);
        let revision = self.random.random_range(oldest..=tip + 1);
        let limit = self.random.random_range(0..3);
        match paged(&self.runtime, store, &range, (revision, limit), || assert!(revision <= tip)) {
            Ok(found) => self.log.check_list(covers(&range), revision, &found),
            Err(ReadError::Compacted { horizon }) => {
                assert!(revision < horizon && horizon <= self.log.tip(), "{revision} {horizon}");
            }
            Err(ReadError::Future { tip: newest }) => assert!(revision > tip && newest == tip),
            // It is asked for again.
            Err(ReadError::Engine(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// A read that has to find everything that anybody was told of before.
    pub(super) fn read(&mut self, at: usize) {
        let (key, since) = (key(&mut self.random), self.log.tip());
        let caught_up = self.runtime.block_on(self.servers[at].catch_up());
        self.observe();
        self.check_shown(at);
        if caught_up.is_ok() {
            let found = self.servers[at].store.get(&key).map(|entry| entry.revision);
            self.log.check_read(key.as_str(), Window { since, until: self.log.tip() }, found);
        }
    }
}
