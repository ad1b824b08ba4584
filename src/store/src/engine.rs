//! What the store needs of an engine: ordered bytes, atomic batches with a durability point, snapshots.
//!
//! The sequencer and the compaction write, everything that looks at the past reads. An engine knows nothing of
//! revisions except the one number that [`Storage::acknowledge`] asks it to remember.

pub mod fjall;
pub mod memory;
pub mod tikv;

use bytes::Bytes;
use std::ops::Deref;
use std::sync::Arc;

use crate::{EngineError, Revision};

/// An opened engine; clones are handles to the same one.
#[derive(Clone)]
pub struct Engine(Arc<dyn Storage>);

impl Engine {
    /// Wraps an implementation, for example a simulated disk.
    pub fn new(storage: impl Storage) -> Self {
        Self(Arc::new(storage))
    }
}

impl Deref for Engine {
    type Target = dyn Storage;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// When a batch has to have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns, and with it everything written before.
    Synced,
    /// Together with the next synced batch at the latest.
    Deferred,
}

/// Changes that are done all together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they were added; no key twice.
    pub changes: Vec<Change>,
    /// Whether other processes are likely to write under the same condition at this moment. Then an engine must not take
    /// a short cut in which a reader could overlook it.
    pub is_contended: bool,
}

/// One change of a [`Batch`].
#[derive(Clone, Debug)]
pub enum Change {
    /// Set a key.
    Put(Bytes, Bytes),
    /// Remove a key.
    Remove(Bytes),
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.changes.push(Change::Put(key.into(), value.into()));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: impl Into<Bytes>) {
        self.changes.push(Change::Remove(key.into()));
    }
}

/// What must be true for [`Storage::write_if`] to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The key that is looked at.
    pub key: Bytes,
    /// What it has to hold; `None`: it has to be absent.
    pub expected: Option<Bytes>,
}

/// What became of a conditional batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is durable and visible.
    Done,
    /// The condition did not hold, and nothing of it is on its way any more. Nothing was written, but for one case: where an
    /// answer was lost, an engine may have sent the batch again and met what it had written itself. It does not do that to a
    /// batch that [is contended](Batch::is_contended).
    Refused,
}

/// What a scan yields.
pub type Pair = Result<(Bytes, Bytes), EngineError>;

/// An ordered map of bytes that survives.
///
/// All calls may block and are made from threads where that is allowed. After an error of [`Storage::write`] the
/// store writes nothing more.
pub trait Storage: Send + Sync + 'static {
    /// Applies a batch atomically: visible to snapshots taken afterwards, durable as asked.
    ///
    /// # Errors
    /// When it is not known to be done; it may or may not be there after a restart.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;

    /// Applies a batch atomically and durably if, at that moment, a key holds what is expected; for engines that
    /// several processes have open. Of two conditional batches that change the same key only one expectation holds.
    ///
    /// # Errors
    /// When the outcome is not known: it may be done now, or later. Only a later conditional batch over the same key
    /// that was done rules the latter out.
    fn write_if(&self, _condition: &Condition, _batch: Batch) -> Result<Written, EngineError> {
        Err(EngineError::new("this engine belongs to one process and writes nothing under a condition"))
    }

    /// A view of the present that later writes do not change.
    fn snapshot(&self) -> Box<dyn Snapshot>;

    /// Remembers, at no cost of a sync, that everything up to `revision` was durable: what the next opening of this
    /// engine compares with. Losing the newest of these marks is allowed, inventing one is not.
    ///
    /// # Errors
    /// When the mark cannot be written.
    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError>;

    /// The highest revision known to have been durable, and how that is known.
    ///
    /// # Errors
    /// When the mark cannot be read.
    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError>;

    /// Makes everything durable, the acknowledgement mark included; called when the store is closed.
    ///
    /// # Errors
    /// When that is not known to have succeeded.
    fn sync(&self) -> Result<(), EngineError>;

    /// Bytes taken on the disk.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    fn size_in_bytes(&self) -> Result<u64, EngineError>;
}

/// A revision that was durable once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The revision.
    pub revision: Revision,
    /// How that is known, for the operator who is told that it is gone.
    pub evidence: String,
}

/// An engine as it was at one moment.
pub trait Snapshot: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// When the engine cannot read it.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// The values of several keys, in their order; for engines to which every question is a journey.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    fn get_all(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, EngineError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// The pairs with `from <= key < to`, in order.
    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a>;
}
