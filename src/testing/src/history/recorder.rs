//! Numbers calls and keeps what was said to them, in this process or, line by line, in one that is going to be killed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Call, Change, Requires, Said, Stream, Told, Window};

/// What those who write have asked and were told; shared by all of them.
#[derive(Debug)]
pub struct Recorder {
    /// The number of the first call.
    first: u64,
    recorded: Mutex<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    calls: Vec<Call>,
    /// The newest revision that anybody was told of.
    known: u64,
}

impl Recorder {
    /// One that numbers calls from `first` on, for writers of a store that is known to be at `known`.
    #[must_use]
    pub fn new(first: u64, known: u64) -> Self {
        Self { first, recorded: Mutex::new(Recorded { calls: Vec::new(), known }) }
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody is about to ask for a write. Nothing is known of its outcome until [`Recorder::answer`].
    pub fn ask(&self, key: &str, requires: Requires, deletes: bool) -> Call {
        let mut recorded = self.recorded();
        let write = self.first + recorded.calls.len() as u64;
        let window = Window { since: recorded.known, until: u64::MAX };
        let call = Call { write, key: key.to_owned(), requires, deletes, window, said: Said::Unknown };
        recorded.calls.push(call.clone());
        call
    }

    /// What was said to a call.
    pub fn answer(&self, call: Call, said: Said) -> Call {
        if let Said::Done(revision) | Said::Refused(Some(revision)) = said {
            self.learn(revision);
        }
        let at = usize::try_from(call.write - self.first).expect("there are as many calls");
        self.recorded().calls[at].said = said;
        Call { said, ..call }
    }

    /// Somebody was told of a revision.
    pub fn learn(&self, revision: u64) {
        let mut recorded = self.recorded();
        recorded.known = recorded.known.max(revision);
    }

    /// The newest revision that anybody was told of.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.recorded().known
    }

    /// Every call up to now.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.recorded().calls.clone()
    }
}

/// What a process said of its calls and watches before it ended. It prints each as a line of its own, which reaches a
/// pipe whole or, as the last one, is cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// As they were asked, or answered where that was still said.
    pub calls: Vec<Call>,
    /// Its watches.
    pub streams: Vec<Stream>,
    /// What it told of a log.
    pub changes: Vec<Change>,
}

impl Transcript {
    /// A line that says what is known of a call now.
    #[must_use]
    pub fn call(call: &Call) -> String {
        line("call", call)
    }

    /// A line that says that a watch begins, which the following ones are about.
    #[must_use]
    pub fn watch(after: u64) -> String {
        line("watch", &Beginning { after })
    }

    /// A line that says what the watch told.
    #[must_use]
    pub fn told(told: &Told) -> String {
        line("told", told)
    }

    /// A line that says what the log holds.
    #[must_use]
    pub fn change(change: &Change) -> String {
        line("change", change)
    }

    /// Takes a line; one that is cut, or of another, says nothing.
    pub fn take(&mut self, text: &str) {
        if let Some(call) = parsed::<Call>("call", text) {
            match self.calls.iter_mut().rev().find(|known| known.write == call.write) {
                Some(known) => *known = call,
                None => self.calls.push(call),
            }
        } else if let Some(Beginning { after }) = parsed("watch", text) {
            self.streams.push(Stream::new(after));
        } else if let Some(told) = parsed("told", text) {
            self.streams.last_mut().expect("a watch has begun").told.push(told);
        } else if let Some(change) = parsed("change", text) {
            self.changes.push(change);
        }
    }

    /// How many calls were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.calls.iter().filter(|call| matches!(call.said, Said::Done(_))).count()
    }
}

/// Of a watch. A bare number that is cut would be another number.
#[derive(Serialize, Deserialize)]
struct Beginning {
    after: u64,
}

fn line(what: &str, content: &impl Serialize) -> String {
    format!("@{what} {}", serde_json::to_string(content).expect("it has no map and no float"))
}

/// The content of a line; something else may have been printed at its beginning.
fn parsed<T: DeserializeOwned>(what: &str, text: &str) -> Option<T> {
    let (_, content) = text.split_once(&format!("@{what} "))?;
    serde_json::from_str(content).ok()
}
