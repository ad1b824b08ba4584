//! What can go wrong, one type for each thing a caller can do, named by what the caller can do about it.

use std::sync::Arc;

use crate::{Departure, Entry, Revision};

/// What an operator can do whose store has lost something.
const WAYS_ON: &str = "restore a snapshot (`coxswain snapshot restore`), or keep what is whole and give the rest up \
                       (`coxswain store repair --accept-loss`)";

/// Why a store could not be opened. None of these is cured by trying again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Acknowledged writes are missing: the engine came back older than what the store is known to have acknowledged.
    #[error(
        "the store has lost acknowledged writes, revisions {} to {acknowledged} ({evidence}); {WAYS_ON}",
        recovered + 1
    )]
    Lost {
        /// The newest revision that could be read.
        recovered: Revision,
        /// A revision that is known to have been durable.
        acknowledged: Revision,
        /// How that is known.
        evidence: String,
    },
    /// A record in the middle of the history is missing.
    #[error(
        "the store has a hole: {missing} is missing between its horizon {horizon} and its tip {tip}; {WAYS_ON}"
    )]
    Hole {
        /// What is missing.
        missing: String,
        /// The oldest revision that the store still holds.
        horizon: Revision,
        /// The newest revision found.
        tip: Revision,
    },
    /// A record is there but is not what was written.
    #[error("the store is damaged: {0}; {WAYS_ON}")]
    Damaged(String),
    /// The files were written by a version of the store that this one cannot read.
    #[error(
        "the store was written by another version of this program: it has format {found}, this one reads \
         {supported}; run the version that wrote it, or a newer one. Nothing was changed"
    )]
    Format {
        /// The format found.
        found: u64,
        /// The format this program reads and writes.
        supported: u64,
    },
    /// Under the prefix are records that are not the store's.
    #[error(
        "what begins with this prefix is not a store: {0}. Give another prefix, one that no other application's \
         keys begin with"
    )]
    Foreign(String),
    /// It was being restored from a snapshot, or copied from another engine, and that was not finished.
    #[error(
        "the store was not restored to its end: run the command that writes it again, or remove what it wrote"
    )]
    Unfinished,
    /// It was moved to another engine, and what stayed behind is past.
    #[error("the store's {0}")]
    Moved(Departure),
    /// Another process has the directory open.
    #[error("the store is in use by another process")]
    InUse,
    /// The engine failed.
    // Said here, and hence no source: whoever prints the chain would say it twice.
    #[error("the store's engine failed: {0}")]
    Engine(EngineError),
}

impl From<EngineError> for OpenError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Why a write was not done, or is not known to be done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The key was to be absent; this is its current version.
    #[error("{} exists", .0.key)]
    Exists(Arc<Entry>),
    /// The key was to exist.
    #[error("the key does not exist")]
    Missing,
    /// The key is at another revision; this is its current version.
    #[error("{} is at revision {}", .0.key, .0.revision)]
    Conflict(Arc<Entry>),
    /// The value is larger than [`crate::Options::value_limit`].
    #[error("the value takes {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes of the value.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The value cannot be sealed as [`crate::Options::seal`] asks; the write was not done.
    #[error("{0}")]
    Sealing(String),
    /// The key is not one that [`crate::Key::is_valid`] accepts.
    #[error("{0:?} cannot name an entry")]
    BadKey(String),
    /// The engine failed while the write was under way: it may or may not be there after a restart.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// An earlier write failed in the engine; nothing is written any more until the store is opened anew.
    #[error("the store takes no writes since its engine failed: {0}; cure that and restart the server")]
    Poisoned(String),
    /// Several servers share the store and none of those that can be reached owns the order of writes; the write was
    /// not done and may be tried again.
    #[error("the store takes no writes at the moment: {0}")]
    Unavailable(String),
    /// The state was moved to another engine; the write was not done.
    #[error("the store's {0}")]
    Moved(Departure),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Why the past could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The revision is older than what is kept.
    #[error("revisions before {horizon} were compacted")]
    Compacted {
        /// The oldest revision that can be read.
        horizon: Revision,
    },
    /// The revision does not exist yet.
    #[error("the newest revision is {tip}")]
    Future {
        /// The newest revision.
        tip: Revision,
    },
    /// The store is on its way to another engine, or there: what is here may not be the newest.
    #[error("the store cannot be read at the moment: {0}")]
    Unavailable(String),
    /// The engine failed.
    #[error("the store's engine failed: {0}")]
    Engine(String),
}

impl From<EngineError> for ReadError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error.to_string())
    }
}

/// Why a watch could not begin, or ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// Events after the watch's position were compacted; list again.
    #[error("events before {horizon} were compacted")]
    Compacted {
        /// The oldest revision after which events can be had.
        horizon: Revision,
    },
    /// The revision to begin after does not exist yet.
    #[error("the newest revision is {tip}")]
    Future {
        /// The newest revision.
        tip: Revision,
    },
    /// The watcher was cut off because it took its events too slowly; watch again from its position.
    #[error("the watcher fell too far behind")]
    Lagged,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The engine failed while events of the past were read.
    #[error("the store's engine failed: {0}")]
    Engine(String),
}

impl From<ReadError> for WatchError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Compacted { horizon } => Self::Compacted { horizon },
            ReadError::Future { tip } => Self::Future { tip },
            ReadError::Engine(cause) | ReadError::Unavailable(cause) => Self::Engine(cause),
        }
    }
}

/// A failure of the disk, the network or whatever else an engine stands on.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct EngineError(Box<dyn std::error::Error + Send + Sync>);

impl EngineError {
    /// Wraps the engine's own error, or a sentence.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}
