//! Snapshots: the store's whole state at one revision as a stream of bytes, and back.
//!
//! ```text
//! Store::save → save → Writer → bytes → (file, HTTP, S3) → bytes → Reader → restore → empty engine
//! ```
//!
//! A snapshot is a header and a row of blocks, written and read front to back in bounded memory:
//!
//! ```text
//! header  magic, version, format of the records, revision, time, how it is encrypted, checksum
//! block*  kind, length, checksum, body: records, compressed, then encrypted if asked
//! end     the same with a body of its own: number of records, their bytes, SHA-256 of all that came before
//! ```
//!
//! The records are the engine's own, as they are stored: the newest version of each key, with its revision and whatever
//! sealed its value. So nothing here sees what a sealed value says, and any engine can take them. Every block's checksum
//! depends on its place; an encrypted block is bound to its place, its kind and its header besides. What is cut short has
//! no end. Nothing here knows where the bytes come from or go to.

use crate::{EngineError, ReadError, Revision};

mod block;
mod cipher;
mod header;
mod reader;
mod restore;
mod save;
mod transfer;
mod writer;

pub use cipher::Passphrase;
pub use header::Header;
pub use reader::{Reader, Record};
pub use restore::{Sharing, begins_at, restore};
pub use transfer::Transfer;
pub use writer::Writer;

pub(crate) use restore::RESTORING_KEY;
pub(crate) use save::save;

#[cfg(test)]
mod tests;

/// What a whole snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The moment that it is of: it holds every write up to here, and none behind.
    pub revision: Revision,
    /// Objects in it.
    pub objects: u64,
    /// Bytes that their records take in a store.
    pub bytes: u64,
    /// SHA-256 of the snapshot up to its end block.
    pub sha256: [u8; 32],
}

/// Why a snapshot cannot be written, read or restored. The texts end with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin as a snapshot does.
    #[error("it is no snapshot: it does not begin as one; give a file that `snapshot save` wrote")]
    NotASnapshot,
    /// It was written by a program that knows more than this one.
    #[error(
        "its {what} has version {found} and this program reads up to {supported}: use the version of the program that \
         wrote it, or a later one"
    )]
    Newer {
        /// What has a version of its own.
        what: &'static str,
        /// The version found.
        found: u16,
        /// The version that this program writes.
        supported: u16,
    },
    /// The bytes end before the snapshot does.
    #[error("it is cut short: it ends at byte {at} and has no end block; copy it again, or use another one")]
    CutShort {
        /// Bytes that are there.
        at: u64,
    },
    /// The bytes are not what was written.
    #[error("it is damaged in what begins at byte {at}: {what}; copy it again, or use another one")]
    Damaged {
        /// Where the damaged part begins.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// It is encrypted and no passphrase was given.
    #[error("it is encrypted: give the passphrase that it was saved with")]
    Encrypted,
    /// Its first block is whole, but the passphrase does not open it.
    #[error(
        "it cannot be decrypted: the passphrase is another one than it was saved with, or somebody altered it"
    )]
    WrongPassphrase,
    /// What it was to be restored into holds something already.
    #[error("the target is not empty ({found}): give one that is; nothing was changed")]
    NotEmpty {
        /// What was found there.
        found: String,
    },
    /// Another restore works on the same target.
    #[error("another restore writes to the same target: let one of them end, then look again")]
    Overtaken,
    /// The store forgot history that was not copied yet.
    #[error(
        "copying took longer than the store remembers: revisions up to {horizon} were compacted and {copied} was reached; \
         try again, with less load"
    )]
    TooSlow {
        /// What had been copied.
        copied: Revision,
        /// The oldest revision that the store still has.
        horizon: Revision,
    },
    /// Whoever asked for the copy wants it no more.
    #[error("it was given up")]
    GivenUp,
    /// A record that is to be saved is not what was written.
    #[error(
        "the store's record {0} is damaged: check the store with `store check`; the snapshot was given up"
    )]
    DamagedRecord(String),
    /// The store could not be read at that revision.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// The engine failed.
    #[error("the store's engine failed: {0}")]
    Engine(EngineError),
    /// The bytes could not be read from where they come, or written to where they go.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The thread that did the work ended.
    #[error("the work ended before it was done: {0}")]
    Ended(String),
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}
