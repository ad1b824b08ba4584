//! Clients that watch: they stay with a member for a while, lose it, and go on at another one from where they were.

use rand::Rng;
use std::time::Duration;
use testing::history::Change;

use super::{MEMBERS, World};
use crate::simulation::subjects::{change, covers};
use crate::{Item, Range, Revision, Watch, WatchError};

/// Longer than a watch waits before it tells of progress.
const LONG_MS: u64 = 61_000;

pub(super) struct Watcher {
    range: Range,
    /// The member that it is connected to.
    at: usize,
    watch: Option<Watch>,
    /// What it was told of, or may rely on having missed nothing of.
    position: Revision,
}

impl Watcher {
    pub(super) fn new(range: Range, at: usize) -> Self {
        Self { range, at, watch: None, position: 1 }
    }

    /// A member's process has ended, and its connections with it.
    pub(super) fn lose(&mut self, at: usize) {
        if self.at == at {
            self.watch = None;
        }
    }
}

impl World {
    pub(super) fn watch(&mut self, which: usize) {
        if self.random.random_bool(0.25) {
            // The connection breaks, and the client comes back wherever it finds somebody.
            self.watchers[which].watch = None;
            self.watchers[which].at = self.random.random_range(0..MEMBERS);
        }
        let at = self.watchers[which].at;
        if self.servers[at].asleep > 0 || self.servers[at].shared.poisoned().is_some() {
            return;
        }
        let Some(mut watch) = self.resume(which) else { return };
        for _ in 0..self.random.random_range(1..4) {
            match self.take(which, &mut watch) {
                Taken::Something => {}
                Taken::Nothing => break,
                Taken::End => return,
            }
        }
        self.watchers[which].watch = Some(watch);
    }

    /// The watch that there is, or one that goes on from where the client was.
    fn resume(&mut self, which: usize) -> Option<Watch> {
        let watcher = &mut self.watchers[which];
        let server = &self.servers[watcher.at];
        if let Some(watch) = watcher.watch.take() {
            return Some(watch);
        }
        match server.store.watch(watcher.range.clone(), watcher.position) {
            Ok(watch) => Some(watch),
            Err(WatchError::Future { tip }) => {
                assert!(watcher.position > tip && tip == server.shared.tip(), "{} {tip}", watcher.position);
                None
            }
            Err(WatchError::Compacted { horizon }) => {
                self.list_anew(which, horizon);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Takes what comes next; whether the watch goes on and more may come.
    fn take(&mut self, which: usize, watch: &mut Watch) -> Taken {
        let patience = Duration::from_millis(if self.random.random_bool(0.3) { LONG_MS } else { 1 });
        let taken = self.runtime.block_on(async { tokio::time::timeout(patience, watch.next()).await.ok() });
        match taken {
            Some(Ok(Item::Events(events))) => {
                let seen: Vec<_> = events.iter().map(|event| change(event)).collect();
                self.check_taken(which, watch.position(), &seen);
                self.check_whole(&self.watchers[which].range, seen.last().unwrap().revision);
                Taken::Something
            }
            Some(Ok(Item::Progress(revision))) => {
                assert_eq!(revision, watch.position());
                self.check_taken(which, revision, &[]);
                Taken::Something
            }
            Some(Err(WatchError::Compacted { horizon })) => {
                self.list_anew(which, horizon);
                Taken::End
            }
            // It goes on from where it was.
            Some(Err(WatchError::Lagged | WatchError::Engine(_))) => Taken::End,
            Some(Err(error)) => panic!("{error}"),
            None => {
                // Nothing more is to come: it has seen all that its server has shown.
                let position = self.watchers[which].position;
                self.check_taken(which, self.servers[self.watchers[which].at].shared.tip(), &[]);
                self.watchers[which].position = position.max(watch.position());
                Taken::Nothing
            }
        }
    }

    /// The client knows now that between where it was and `position` there was this and nothing else.
    fn check_taken(&mut self, which: usize, position: Revision, seen: &[Change]) {
        let watcher = &mut self.watchers[which];
        let tip = self.servers[watcher.at].shared.tip();
        assert!(position <= tip, "a watch is at {position}, its server at {tip}");
        self.log.check_watch(covers(&watcher.range), watcher.position, position, seen);
        watcher.position = position;
    }

    /// Nobody is left waiting at a server from which nothing will come.
    pub(super) fn check_watches_end(&mut self, at: usize) {
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.at == at) {
            let Some(mut watch) = watcher.watch.take() else { continue };
            let drained = async { while watch.next().await.is_ok() {} };
            let patience = Duration::from_millis(1);
            let ended = self.runtime.block_on(async { tokio::time::timeout(patience, drained).await });
            ended.expect("a watch has ended with its server");
        }
    }

    /// What the client has missed cannot be had any more: it lists and goes on from there.
    fn list_anew(&mut self, which: usize, horizon: Revision) {
        let watcher = &mut self.watchers[which];
        assert!(watcher.position < horizon && horizon <= self.log.tip(), "{} {horizon}", watcher.position);
        // A server that has fallen behind that far itself is of no use to it.
        watcher.position = watcher.position.max(self.servers[watcher.at].shared.tip());
    }
}

enum Taken {
    Something,
    Nothing,
    End,
}
