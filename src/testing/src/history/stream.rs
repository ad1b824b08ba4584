//! What a watch told, and what has to be true of it: filtered, ordered, unique, complete, resumable, bookmarkable.
//!
//! That it is resumable follows: whoever resumes begins another stream at a revision of an earlier one.

use serde::{Deserialize, Serialize};

use super::{Change, Log};

/// What an event says has happened, as the watch's selection sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It was not part of the selection before.
    Added,
    /// It was and is.
    Modified,
    /// It is no longer; what is shown is what it was before.
    Deleted,
}

/// One thing that a watch told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Something happened.
    Event {
        /// What.
        kind: Kind,
        /// When.
        revision: u64,
        /// To what.
        key: String,
        /// Which write's content is shown.
        write: u64,
    },
    /// Everything up to this revision has been told.
    Bookmark(u64),
}

impl Told {
    fn revision(&self) -> u64 {
        match self {
            Self::Event { revision, .. } | Self::Bookmark(revision) => *revision,
        }
    }
}

/// A watch from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The revision that it began after.
    pub after: u64,
    /// In the order in which it was told.
    pub told: Vec<Told>,
}

impl Stream {
    /// A stream that has told nothing yet.
    #[must_use]
    pub fn new(after: u64) -> Self {
        Self { after, told: Vec::new() }
    }

    /// What it told of what is behind a revision, for a log that goes back no further.
    #[must_use]
    pub fn behind(&self, revision: u64) -> Self {
        let told = self.told.iter().filter(|told| told.revision() > revision);
        Self { after: self.after.max(revision), told: told.cloned().collect() }
    }

    /// The revision up to which it has told everything.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.told.last().map_or(self.after, Told::revision)
    }
}

impl Log {
    /// A watch from `after` that has reached `position` has seen everything of its range between them: once, in order,
    /// and nothing else.
    pub fn check_watch(&self, covers: impl Fn(&str) -> bool, after: u64, position: u64, seen: &[Change]) {
        assert!((after..=self.tip()).contains(&position), "a watch from {after} is at {position}");
        let between = self.after(after).iter().filter(|change| change.revision <= position);
        let expected: Vec<_> = between.filter(|change| covers(&change.key)).cloned().collect();
        assert_eq!(seen, expected, "a watch from {after} to {position}");
    }

    /// The same for a watch of what a write makes part of a selection, or no part of it any more; and no bookmark is ahead
    /// of an event.
    pub fn check_stream(&self, selects: impl Fn(&Change) -> bool, stream: &Stream) {
        let (after, position) = (stream.after, stream.position());
        assert!((after..=self.tip()).contains(&position), "a watch from {after} is at {position}");
        let mut reached = after;
        for told in &stream.told {
            let is_later = match told {
                Told::Event { revision, .. } => *revision > reached,
                Told::Bookmark(revision) => *revision >= reached,
            };
            assert!(is_later, "{told:?} after {reached} was reached by a watch from {after}");
            reached = told.revision();
        }
        let between = self.after(after).iter().filter(|change| change.revision <= position);
        let expected: Vec<_> = between.filter_map(|change| self.event(&selects, change)).collect();
        let seen = stream.told.iter().filter(|told| matches!(told, Told::Event { .. }));
        let seen: Vec<_> = seen.cloned().collect();
        assert_eq!(seen, expected, "a watch from {after} to {position}");
    }

    /// What a watch of a selection has to tell of a change.
    fn event(&self, selects: impl Fn(&Change) -> bool, change: &Change) -> Option<Told> {
        let before = self.last(&change.key, change.revision - 1);
        let before = before.filter(|before| !before.deletes && selects(before));
        let is_in = !change.deletes && selects(change);
        let (kind, write) = match (before, is_in) {
            (None, false) => return None,
            (None, true) => (Kind::Added, change.write),
            (Some(_), true) => (Kind::Modified, change.write),
            (Some(before), false) => (Kind::Deleted, before.write),
        };
        Some(Told::Event { kind, revision: change.revision, key: change.key.clone(), write })
    }
}
