//! The order of writes, and what has to be true of it: of calls, reads and lists. `stream` adds watches.

use std::collections::{BTreeMap, HashMap};

use super::{Call, Change, Said, Window};

/// All writes in their order, from the first one on, or from a revision whose state is known.
#[derive(Clone, Debug)]
pub struct Log {
    changes: Vec<Change>,
    /// The places of each key's changes.
    keys: BTreeMap<String, Vec<usize>>,
    /// The revision before the first change.
    base: u64,
    tip: u64,
    /// Whether nothing was there before the first change.
    is_whole: bool,
}

impl Log {
    /// An empty log of a store that is at `base`.
    #[must_use]
    pub fn new(base: u64) -> Self {
        Self { changes: Vec::new(), keys: BTreeMap::new(), base, tip: base, is_whole: true }
    }

    /// The log of a store that has forgotten how it came to what it held at `base`. Of what was said of earlier revisions
    /// it is checked only that nothing older has come back.
    #[must_use]
    pub fn from_state(base: u64, mut state: Vec<Change>) -> Self {
        let mut log = Self { is_whole: false, ..Self::new(base) };
        state.sort_by_key(|change| change.revision);
        for change in state {
            assert!(change.revision <= base && !change.deletes, "{change:?} is no state at {base}");
            log.add(change);
        }
        log
    }

    /// The next write: revisions are dense.
    pub fn push(&mut self, change: Change) {
        assert_eq!(change.revision, self.tip + 1, "revisions are dense: {change:?}");
        self.tip = change.revision;
        self.add(change);
    }

    /// The revisions up to this one are others' writes, of which nothing is known and nothing asked.
    pub fn pass(&mut self, revision: u64) {
        assert!(revision >= self.tip, "{revision} is of the past: the log is at {}", self.tip);
        self.tip = revision;
    }

    fn add(&mut self, change: Change) {
        self.keys.entry(change.key.clone()).or_default().push(self.changes.len());
        self.changes.push(change);
    }

    /// The newest revision.
    #[must_use]
    pub fn tip(&self) -> u64 {
        self.tip
    }

    /// The writes behind a revision.
    #[must_use]
    pub fn after(&self, revision: u64) -> &[Change] {
        let from = self.changes.partition_point(|change| change.revision <= revision.max(self.base));
        &self.changes[from..]
    }

    /// The revision of a key as it was at a revision.
    #[must_use]
    pub fn key_at(&self, key: &str, revision: u64) -> Option<u64> {
        self.last(key, revision).filter(|last| !last.deletes).map(|last| last.revision)
    }

    /// The last change of a key up to a revision.
    pub(super) fn last(&self, key: &str, revision: u64) -> Option<&Change> {
        let places = self.keys.get(key)?;
        let count = places.partition_point(|&place| self.changes[place].revision <= revision);
        places[..count].last().map(|&place| &self.changes[place])
    }

    /// Every write of the log was asked for, once, and its condition held at its place; no call is answered with anything
    /// but the truth: the writes are linearizable.
    pub fn check_calls(&self, calls: &[Call]) {
        let mut done = HashMap::new();
        for change in &self.changes {
            let before = done.insert(change.write, change);
            assert_eq!(before, None, "{change:?} was done twice");
        }
        let mut asked = HashMap::new();
        for call in calls {
            let before = asked.insert(call.write, call);
            assert_eq!(before, None, "two calls have one number: {call:?}");
            self.check_call(call, done.get(&call.write).map(|change| change.revision));
        }
        for change in self.after(self.base) {
            let call =
                asked.get(&change.write).unwrap_or_else(|| panic!("{change:?} was asked for by nobody"));
            self.check_change(change, call);
        }
    }

    fn check_change(&self, change: &Change, call: &Call) {
        assert_eq!((&call.key, call.deletes), (&change.key, change.deletes), "{change:?} by {call:?}");
        let before = self.key_at(&change.key, change.revision - 1);
        assert!(call.requires.allow(before, call.deletes), "{call:?} was done to {before:?} at {change:?}");
        assert!(change.revision > call.window.since, "{change:?} is older than its call: {call:?}");
    }

    fn check_call(&self, call: &Call, done: Option<u64>) {
        match call.said {
            Said::Done(revision) if revision <= self.base && !self.is_whole => {
                let there = self.key_at(&call.key, self.base);
                assert!(there.is_none_or(|there| there >= revision), "{call:?} is gone, {there:?} is back");
                if there == Some(revision) {
                    assert_eq!(done, there, "another write stands in the place of {call:?}");
                }
            }
            Said::Done(revision) => {
                assert_eq!(done, Some(revision), "acknowledged: {call:?}");
                assert!(revision <= call.window.until, "acknowledged before it was there: {call:?}");
            }
            Said::Accepted => assert!(done.is_some() || !self.is_whole, "acknowledged: {call:?}"),
            Said::Refused(met) => {
                assert_eq!(done, None, "refused: {call:?}");
                assert!(!call.requires.allow(met, call.deletes), "no reason to refuse {call:?}");
                self.check_read(&call.key, call.window, met);
            }
            Said::Unmet => {
                assert_eq!(done, None, "refused: {call:?}");
                let is_met = |met| call.requires.allow(met, call.deletes);
                let mut met = self.moments(&call.key, call.window);
                let is_unknown = !self.is_whole && call.window.since < self.base;
                assert!(is_unknown || met.any(|met| !is_met(met)), "no reason to refuse {call:?}");
            }
            Said::NotDone => assert_eq!(done, None, "said not to be done: {call:?}"),
            Said::Unknown => {}
        }
    }

    /// A key was at `found` at some moment of the window.
    pub fn check_read(&self, key: &str, window: Window, found: Option<u64>) {
        let is_unknown = !self.is_whole && window.since < self.base;
        let is_true = is_unknown || self.moments(key, window).any(|moment| moment == found);
        assert!(is_true, "{key} was never at {found:?} in {window:?}");
    }

    /// What a key was at in a window.
    fn moments(&self, key: &str, window: Window) -> impl Iterator<Item = Option<u64>> {
        let later = self.keys.get(key).into_iter().flatten().map(|&place| &self.changes[place]);
        let later = later.filter(move |change| {
            change.revision > window.since && change.revision <= window.until.max(window.since)
        });
        let later = later.map(|change| (!change.deletes).then_some(change.revision));
        std::iter::once(self.key_at(key, window.since)).chain(later)
    }

    /// A list at a revision holds all of what was there then, and nothing else.
    pub fn check_list(&self, covers: impl Fn(&str) -> bool, revision: u64, found: &[(String, u64)]) {
        self.check_selection(|change| covers(&change.key), revision, found);
    }

    /// The same for a list of what its last write makes part of it.
    pub fn check_selection(&self, selects: impl Fn(&Change) -> bool, revision: u64, found: &[(String, u64)]) {
        let last = self.keys.keys().filter_map(|key| self.last(key, revision));
        let expected = last.filter(|last| !last.deletes && selects(last));
        let expected: Vec<_> = expected.map(|last| (last.key.clone(), last.revision)).collect();
        assert_eq!(found, expected, "the list at {revision}");
    }
}
