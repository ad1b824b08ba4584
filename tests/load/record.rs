//! What all who write and read add to, and the judge takes: calls, and what readers and watches were shown.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use testing::history::{Change, Recorder, Stream, Told, Window};

use super::{KEYS, WATCHES};

/// What all who write and read add to.
pub(super) struct Record {
    /// The revision before the first write.
    pub(super) base: u64,
    pub(super) calls: Recorder,
    /// Which call was to delete a key at a revision: the answer to a deletion tells no revision, and its event no call.
    pub(super) deletions: Mutex<HashMap<(String, u64), u64>>,
    /// The newest revision that somebody knows of each key.
    pub(super) versions: Mutex<HashMap<String, u64>>,
    /// Where watches of each selection resume.
    pub(super) positions: Mutex<HashMap<Selection, u64>>,
    pub(super) shown: Mutex<Shown>,
    /// What servers said that could not do what they were asked.
    pub(super) refusals: Mutex<Vec<String>>,
}

impl Record {
    /// Of a cluster that is at a revision.
    pub(super) fn new(base: u64) -> Self {
        Self {
            base,
            calls: Recorder::new(1, base),
            deletions: Mutex::default(),
            versions: Mutex::default(),
            positions: Mutex::default(),
            shown: Mutex::default(),
            refusals: Mutex::default(),
        }
    }
}

/// What readers and watches were shown since it was last judged.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) reads: Vec<(String, Window, Option<u64>)>,
    pub(super) lists: Vec<Listed>,
    pub(super) streams: Vec<(Selection, Stream)>,
}

impl Shown {
    /// Whether it was listed often, and watches of all kinds have lived until the server ended them.
    pub(super) fn is_much(&self) -> bool {
        let is_at_its_end =
            |(_, stream): &&(_, Stream)| matches!(stream.told.last(), Some(Told::Bookmark(_)));
        let ended: HashSet<_> = self.streams.iter().filter(is_at_its_end).map(|(of, _)| of).collect();
        self.lists.len() > 20 && ended.len() >= WATCHES.len()
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.reads.extend(more.reads);
        self.lists.extend(more.lists);
        self.streams.extend(more.streams);
    }
}

/// A list, and the oldest revision that may answer it.
pub(super) struct Listed {
    pub(super) selection: Selection,
    pub(super) since: u64,
    pub(super) revision: u64,
    pub(super) found: Vec<(String, u64)>,
}

/// What a list or watch is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Selection {
    All,
    /// What was last written by a call of an odd number: objects enter and leave it.
    Odd,
    /// One object, by its field.
    Named(String),
}

impl Selection {
    pub(super) fn any(number: usize) -> Self {
        match number % 3 {
            0 => Self::All,
            1 => Self::Odd,
            _ => Self::Named(name(number % KEYS)),
        }
    }

    pub(super) fn labels(&self) -> &'static str {
        if *self == Self::Odd { "load=yes,odd=true" } else { "load=yes" }
    }

    pub(super) fn fields(&self) -> Option<String> {
        let Self::Named(name) = self else { return None };
        Some(format!("metadata.name={name}"))
    }

    pub(super) fn selects(&self, change: &Change) -> bool {
        match self {
            Self::All => true,
            Self::Odd => change.write % 2 == 1,
            Self::Named(name) => change.key == *name,
        }
    }
}

pub(super) fn name(number: usize) -> String {
    format!("load-{number}")
}
