//! Judges what a store said and showed by the one order of writes that its log claims.
//!
//! Simulations, kill loops and tests of the whole binary record what callers were told and what readers and watchers saw;
//! the checks here compare that with the log. Each panics with the contradiction. Knows no store and no Kubernetes: keys
//! are text, writes are numbers that the recorder gave, revisions are numbers that the store gave.

/// One write of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the order.
    pub revision: u64,
    /// What it changed.
    pub key: String,
    /// Which call's it is; no two calls have the same number.
    pub write: u64,
    /// Whether the key is gone with it.
    pub deletes: bool,
}

/// What a caller wanted to be true of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requires {
    /// It does not exist.
    Absent,
    /// It is at this revision.
    At(u64),
    /// It exists.
    Present,
    /// Nothing; a deletion needs something to delete all the same.
    Nothing,
}

impl Requires {
    fn allow(self, current: Option<u64>, deletes: bool) -> bool {
        match self {
            Self::Absent => current.is_none() && !deletes,
            Self::At(revision) => current == Some(revision),
            Self::Present => current.is_some(),
            Self::Nothing => current.is_some() || !deletes,
        }
    }
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Done, at this revision.
    Done(u64),
    /// Not done, because the key was at this revision, or absent.
    Refused(Option<u64>),
    /// Not done, for whatever other reason.
    NotDone,
    /// Nothing, or that nobody knows.
    Unknown,
}

/// When something happened, as far as it can be told from outside.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The newest revision that anybody had been told of when it was asked for.
    pub since: u64,
    /// The newest revision that there was when it was answered.
    pub until: u64,
}

/// One attempt to write.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number.
    pub write: u64,
    /// What it was to change.
    pub key: String,
    /// Under what condition.
    pub requires: Requires,
    /// Whether it was to delete.
    pub deletes: bool,
    /// When.
    pub window: Window,
    /// What was said.
    pub said: Said,
}

/// All writes in their order, from the first one on.
#[derive(Clone, Debug)]
pub struct Log {
    changes: Vec<Change>,
    /// The revision before the first change.
    base: u64,
}

impl Log {
    /// An empty log of a store that is at `base`.
    #[must_use]
    pub fn new(base: u64) -> Self {
        Self { changes: Vec::new(), base }
    }

    /// The next write: revisions are dense.
    pub fn push(&mut self, change: Change) {
        assert_eq!(change.revision, self.tip() + 1, "revisions are dense: {change:?}");
        self.changes.push(change);
    }

    /// The newest revision.
    #[must_use]
    pub fn tip(&self) -> u64 {
        self.base + self.changes.len() as u64
    }

    /// The writes behind a revision.
    #[must_use]
    pub fn after(&self, revision: u64) -> &[Change] {
        let from = usize::try_from(revision.saturating_sub(self.base)).unwrap();
        &self.changes[from.min(self.changes.len())..]
    }

    /// The revision of a key as it was at a revision.
    #[must_use]
    pub fn key_at(&self, key: &str, revision: u64) -> Option<u64> {
        let last = self.up_to(revision).iter().rev().find(|change| change.key == key)?;
        (!last.deletes).then_some(last.revision)
    }

    fn up_to(&self, revision: u64) -> &[Change] {
        &self.changes[..usize::try_from(revision.min(self.tip()).saturating_sub(self.base)).unwrap()]
    }

    /// Every write of the log was asked for, once, and its condition held at its place; no call is answered with anything
    /// but the truth: the writes are linearizable.
    pub fn check_calls(&self, calls: &[Call]) {
        for change in &self.changes {
            self.check_change(change, calls);
        }
        for call in calls {
            self.check_call(call);
        }
    }

    fn check_change(&self, change: &Change, calls: &[Call]) {
        let asked: Vec<_> = calls.iter().filter(|call| call.write == change.write).collect();
        let [call] = asked[..] else { panic!("{change:?} was asked for by {asked:?}") };
        assert_eq!((&call.key, call.deletes), (&change.key, change.deletes), "{change:?} by {call:?}");
        let before = self.key_at(&change.key, change.revision - 1);
        assert!(call.requires.allow(before, call.deletes), "{call:?} was done to {before:?} at {change:?}");
        assert!(change.revision > call.window.since, "{change:?} is older than its call: {call:?}");
        let again = self.after(change.revision).iter().find(|later| later.write == change.write);
        assert_eq!(again, None, "{change:?} was done twice");
    }

    fn check_call(&self, call: &Call) {
        let done =
            self.changes.iter().find(|change| change.write == call.write).map(|change| change.revision);
        match call.said {
            Said::Done(revision) => {
                assert_eq!(done, Some(revision), "acknowledged: {call:?}");
                assert!(revision <= call.window.until, "acknowledged before it was there: {call:?}");
            }
            Said::Refused(met) => {
                assert_eq!(done, None, "refused: {call:?}");
                assert!(!call.requires.allow(met, call.deletes), "no reason to refuse {call:?}");
                self.check_read(&call.key, call.window, met);
            }
            Said::NotDone => assert_eq!(done, None, "said not to be done: {call:?}"),
            Said::Unknown => {}
        }
    }

    /// A key was at `found` at some moment of the window.
    pub fn check_read(&self, key: &str, window: Window, found: Option<u64>) {
        let mut moments = window.since.max(self.base)..=window.until;
        let is_true = moments.any(|moment| self.key_at(key, moment) == found);
        assert!(is_true, "{key} was never at {found:?} in {window:?}");
    }

    /// A list at a revision holds all of what was there then, and nothing else.
    pub fn check_list(&self, covers: impl Fn(&str) -> bool, revision: u64, found: &[(String, u64)]) {
        let mut expected = std::collections::BTreeMap::new();
        for change in self.up_to(revision).iter().filter(|change| covers(&change.key)) {
            if change.deletes {
                expected.remove(&change.key);
            } else {
                expected.insert(change.key.clone(), change.revision);
            }
        }
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "the list at {revision}");
    }

    /// A watch from `after` that has reached `position` has seen everything of its range between them: once, in order,
    /// and nothing else.
    pub fn check_watch(&self, covers: impl Fn(&str) -> bool, after: u64, position: u64, seen: &[Change]) {
        assert!((after..=self.tip()).contains(&position), "a watch from {after} is at {position}");
        let between = self.after(after).iter().filter(|change| change.revision <= position);
        let expected: Vec<_> = between.filter(|change| covers(&change.key)).cloned().collect();
        assert_eq!(seen, expected, "a watch from {after} to {position}");
    }
}

#[cfg(test)]
mod tests;
