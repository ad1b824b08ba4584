//! How the simulation of the embedded store writes: bursts of callers at once, what is done in the background with what they
//! wrote, and compaction. What they were told is kept for the judge.

use rand::Rng;
use std::future::Future;
use std::pin::Pin;
use testing::history::{Call, Requires, Said, Window};

use super::process::all;
use super::subjects::{call, key, poll, precondition, said, value};
use super::{World, survives};
use crate::compaction::{self, Next};
use crate::engine::Storage;
use crate::sequencer;
use crate::{CommitError, Committed, Write};

/// What a caller is going to be told.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Committed, CommitError>>>>;

impl World {
    /// Several callers at once.
    pub(super) fn burst(&mut self) {
        let count = if self.random.random_bool(0.5) { 1 } else { self.random.random_range(2..9) };
        self.arm(0.2);
        let since = self.log.tip();
        let mut asked: Vec<_> = (0..count).map(|_| self.ask()).collect();
        let early: Vec<_> = asked.iter_mut().map(|(_, answer)| poll(answer)).collect();
        if self.random.random_bool(0.05) {
            // A caller that does not wait.
            asked[0].1 = Box::pin(std::future::pending());
        }
        let mut died = self.serve();
        self.see();
        if !died && self.random.random_bool(0.02) {
            died = true; // Nobody is told.
            asked.iter_mut().for_each(|(_, answer)| *answer = Box::pin(std::future::pending()));
        }
        let window = Window { since, until: self.log.tip() };
        for ((mut call, mut answer), early) in asked.into_iter().zip(early) {
            let outcome = early.or_else(|| poll(&mut answer));
            call.said = outcome.map_or(Said::Unknown, |outcome| said(&outcome));
            self.calls.push(Call { window, ..call });
        }
        if died {
            self.end();
        }
    }

    /// A call and its answer to come.
    fn ask(&mut self) -> (Call, Answer) {
        self.next += 1;
        let write = self.next;
        let key = key(&mut self.random);
        let known = self.server.store.get(&key).map_or(7, |entry| entry.revision);
        let (precondition, requires) = precondition(&mut self.random, known);
        let deletes = requires != Requires::Absent && self.random.random_bool(0.25);
        let value = value(write, &mut self.random);
        let order = if deletes { Write::Delete(value) } else { Write::Put(value) };
        let call = call(write, &key, requires, deletes);
        let store = self.server.store.clone();
        (call, Box::pin(async move { store.commit(key, precondition, order).await }))
    }

    /// Lets the sequencer work; true when the process died of it.
    fn serve(&mut self) -> bool {
        let server = &mut self.server;
        let mut waiting = Vec::new();
        while let Ok(command) = server.inbox.try_recv() {
            waiting.push(command);
        }
        server.time_ms = sequencer::later(&server.shared, server.time_ms);
        survives(|| sequencer::serve(&server.shared, &mut waiting, server.time_ms)).is_none()
    }

    /// What is done in the background goes on, perhaps to its end. Whoever looks meanwhile sees nothing of that.
    pub(super) fn flush(&mut self) {
        self.arm(0.3);
        let process = self.server.process.clone();
        let view = process.snapshot();
        let before = all(&*view);
        process.check();
        for _ in 0..self.random.random_range(1..6) {
            if survives(|| process.step()).is_none() {
                return self.end();
            }
        }
        assert_eq!(all(&*view), before, "a view has changed");
        process.check();
    }

    pub(super) fn compact(&mut self) {
        self.arm(0.2);
        while self.server.store.is_writable() {
            match survives(|| compaction::forget(&self.server.shared)) {
                Some(Ok(Next::Now)) => {}
                Some(Ok(_)) => return,
                Some(Err(error)) => self.server.shared.poison(&error.to_string()),
                None => return self.end(),
            }
        }
    }
}
