//! Judges what a store said and showed by the one order of writes that its log claims.
//!
//! Simulations, kill loops and tests of the whole binary record what callers were told and what readers and watchers saw
//! ([`Recorder`], [`Stream`]); the checks of [`Log`] compare that with the log. Each panics with the contradiction. Knows no
//! store and no Kubernetes: keys are text, writes are numbers that the recorder gave, revisions are numbers that the
//! store gave.

mod log;
mod recorder;
mod stream;

use serde::{Deserialize, Serialize};

pub use log::Log;
pub use recorder::{Recorder, Transcript};
pub use stream::{Kind, Stream, Told};

/// One write of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Said {
    /// Done, at this revision.
    Done(u64),
    /// Done, at a revision that was not said.
    Accepted,
    /// Not done, because the key was at this revision, or absent.
    Refused(Option<u64>),
    /// Not done, because the condition did not hold; what was met was not said.
    Unmet,
    /// Not done, for whatever other reason.
    NotDone,
    /// Nothing, or that nobody knows.
    Unknown,
}

/// When something happened, as far as it can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The newest revision that anybody had been told of when it was asked for.
    pub since: u64,
    /// The newest revision that there was when it was answered; `u64::MAX` where that is not known.
    pub until: u64,
}

/// One attempt to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests;
