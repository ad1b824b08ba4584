//! What the simulation of several servers holds against what was said and shown: the log, which is what the engine has.

use rand::Rng;
use std::collections::HashMap;
use std::sync::Arc;
use testing::history::{Change, Log};

use super::{Server, World, everything, identity_of, key};
use crate::cluster::ledger;
use crate::history::History;
use crate::{Entry, Event, EventKind, Options, Revision};

impl World {
    /// A list is exact at its revision, which may be of the past, whatever server it is asked of.
    pub(super) fn list(&mut self, at: usize) {
        let server = &self.servers[at];
        let (newest, present, _) = server.shared.entries(&everything());
        self.judged().check_list(|_| true, newest, &listed(present.values()));
        let revision = self.random.random_range(server.began..=newest);
        let past = server.shared.entries_at(&everything(), revision).expect("the ring holds it all");
        self.judged().check_list(|_| true, revision, &listed(past.values()));
    }

    /// What happened, for the judge.
    fn judged(&self) -> Log {
        let mut judged = Log::new(1);
        for event in self.log() {
            judged.push(Change {
                revision: event.entry.revision,
                key: event.entry.key.as_str().to_owned(),
                write: identity_of(&event.entry.bytes),
                deletes: event.kind == EventKind::Deleted,
            });
        }
        judged
    }

    /// Nothing is written to what is sealed, and nothing is sealed that nobody wants sealed.
    pub(super) fn check_sealed(&self) {
        let ledger = ledger::read(&*self.engine.snapshot()).unwrap();
        let sealed = ledger.departure.map(|departure| (departure, ledger.tip.revision));
        assert_eq!(sealed, self.departing);
    }

    pub(super) fn check(&self) {
        let log = self.log();
        let written: HashMap<u64, Revision> =
            log.iter().map(|event| (identity_of(&event.entry.bytes), event.entry.revision)).collect();
        assert_eq!(written.len(), log.len(), "no write was done twice");
        for (id, revision) in &self.acknowledged {
            assert_eq!(written.get(id), Some(revision), "write {id} was acknowledged");
        }
        for id in &self.void {
            assert_eq!(written.get(id), None, "write {id} was said not to be done");
        }
        for server in &self.servers {
            self.check_seen(server);
            assert_eq!(server.began + server.seen.len() as u64, server.shared.tip(), "nothing is left out");
        }
    }

    /// A server's watchers have seen the log from where it began, and nothing that was not to stay.
    pub(super) fn check_seen(&self, server: &Server) {
        let log = self.log();
        let from = usize::try_from(server.began - 1).unwrap();
        assert_eq!(server.seen[..], log[from..from + server.seen.len()]);
        let of_key = |event: &&Arc<Event>| event.entry.key == key(0);
        let expected: Vec<_> = server.seen.iter().filter(of_key).cloned().collect();
        assert_eq!(server.told, expected, "a watch of one key");
    }

    /// Everything that ever happened.
    fn log(&self) -> Vec<Arc<Event>> {
        let snapshot = self.engine.snapshot();
        let options = Options::default();
        let history = History { snapshot: &*snapshot, options: &options, tip: Revision::MAX };
        history.events(&everything(), 1, usize::MAX).unwrap().events
    }
}

fn listed<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Vec<(String, Revision)> {
    entries.map(|entry| (entry.key.as_str().to_owned(), entry.revision)).collect()
}
