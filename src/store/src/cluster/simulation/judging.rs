//! What the simulation of several servers holds against what was said and shown: the log, which is what the engine has had.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{World, everything};
use crate::cluster::ledger;
use crate::engine::Snapshot;
use crate::history::History;
use crate::recovery::number;
use crate::simulation::subjects::{change, covers};
use crate::{Entry, Event, Options, Range, Revision, record};

impl World {
    /// Takes what came to the engine into the log.
    pub(super) fn observe(&mut self) {
        let snapshot = self.engine.snapshot();
        for event in events(&*snapshot, self.log.tip()) {
            self.log.push(change(&event));
        }
        self.groups.extend(groups(&*snapshot, self.groups.len() as Revision + 1));
        let tip = ledger::read(&*snapshot).unwrap().tip.revision;
        assert_eq!(tip, self.log.tip(), "the tip is the newest write");
    }

    /// Whatever a server shows is what was at a moment between two groups.
    pub(super) fn check_shown(&mut self, at: usize) {
        let server = &mut self.servers[at];
        let (tip, entries, _) = server.shared.entries(&everything());
        assert!((server.shown..=self.log.tip()).contains(&tip), "{tip} is shown");
        if tip == std::mem::replace(&mut server.shown, tip) {
            return;
        }
        self.log.check_list(|_| true, tip, &listed(entries.values()));
        self.check_whole(&everything(), tip);
    }

    /// Nothing in a range is of the group of this write and behind it.
    pub(super) fn check_whole(&self, range: &Range, revision: Revision) {
        let group = |revision: Revision| self.groups[usize::try_from(revision - 2).unwrap()];
        let covers = covers(range);
        let mut later = self.log.after(revision).iter().filter(|change| covers(&change.key));
        let rest = later.find(|change| revision > 1 && group(change.revision) == group(revision));
        assert_eq!(rest, None, "half a group is to be seen at {revision}");
    }

    pub(super) fn check(&self) {
        let snapshot = self.engine.snapshot();
        let horizon = number(&*snapshot, record::HORIZON_KEY).unwrap().unwrap();
        let past: Vec<_> = events(&*snapshot, horizon).iter().map(|event| change(event)).collect();
        assert_eq!(past, self.log.after(horizon), "the log is as it was");
        self.log.check_calls(&self.calls);
    }
}

/// What the engine has behind a revision.
fn events(snapshot: &dyn Snapshot, after: Revision) -> Vec<Arc<Event>> {
    let options = Options::default();
    let history = History { snapshot, options: &options, tip: Revision::MAX };
    history.events(&everything(), after, usize::MAX).unwrap().events
}

/// The groups of the writes behind a revision.
fn groups(snapshot: &dyn Snapshot, after: Revision) -> Vec<Revision> {
    let options = Options::default();
    let mut groups = Vec::new();
    let history = History { snapshot, options: &options, tip: Revision::MAX };
    let read = history.log(after, |record| {
        groups.push(record.group);
        Ok(ControlFlow::Continue(()))
    });
    read.unwrap();
    groups
}

fn listed<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> Vec<(String, Revision)> {
    entries.map(|entry| (entry.key.as_str().to_owned(), entry.revision)).collect()
}
