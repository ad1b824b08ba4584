//! fjall's tables: how they are opened, and what is asked of them beyond reading.

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::{EngineError, OpenError};

/// The current map answers most reads, so there is little for a block cache to do.
const CACHE: u64 = 4 << 20;
/// Bytes of a block of a table: opening a store reads all of them, one call each, and hardly anything reads a single one.
const BLOCK: u32 = 16 << 10;
/// New tables that are merged at once: each time, all older ones that overlap are written anew, and of a store's most do.
const UNMERGED: u8 = 8;
/// Threads that merge. Of several, fjall's first never merges and, as long as another does, hands itself the same task
/// again and again: a third of all CPU under load (docs/decisions/0009).
const WORKERS: usize = 1;

#[derive(Clone)]
pub(super) struct Tables {
    pub(super) database: Database,
    pub(super) keyspace: Keyspace,
}

impl Tables {
    /// Opens fjall's directory, which is made if it is not there. `is_fresh`: nothing is known to have been written.
    pub(super) fn open(directory: &Path, is_fresh: bool) -> Result<Self, OpenError> {
        if is_fresh && is_unfinished(directory) {
            // The process that was to make it ended before it was made; fjall would not go on from there.
            std::fs::remove_dir_all(directory).map_err(EngineError::new)?;
        }
        let database = Database::builder(directory)
            .cache_size(CACHE)
            .worker_threads(WORKERS)
            // Those of earlier versions are examined before fjall reads them.
            .journal_compression(fjall::CompressionType::None)
            .manual_journal_persist(true)
            .open()
            .map_err(open_error)?;
        let keyspace = database.keyspace("store", keyspace_options).map_err(open_error)?;
        Ok(Self { database, keyspace })
    }

    /// Waits until what fjall read from its own journals is in tables, too, which are durable.
    pub(super) fn settle(&self) -> Result<(), EngineError> {
        const PAUSE: Duration = Duration::from_millis(10);
        self.keyspace.rotate_memtable().map_err(EngineError::new)?;
        while self.keyspace.sealed_memtable_count() > 0 {
            self.check()?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Fails once writing or merging tables has failed.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        // This writes nothing by itself, since nobody writes to fjall's journal.
        self.database.persist(PersistMode::Buffer).map_err(EngineError::new)
    }
}

pub(super) fn keyspace_options() -> KeyspaceCreateOptions {
    // Nearly all reads are scans, or of records that are there: filters would only take memory.
    KeyspaceCreateOptions::default()
        .filter_policy(FilterPolicy::disabled())
        .data_block_size_policy(BlockSizePolicy::all(BLOCK))
        .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(UNMERGED)))
}

fn open_error(error: fjall::Error) -> OpenError {
    match error {
        fjall::Error::Locked => OpenError::InUse,
        fjall::Error::InvalidVersion(found) => OpenError::Engine(EngineError::new(format!(
            "fjall's directory is of another version ({found:?}): run the version of this program that wrote it, or a newer one"
        ))),
        error => OpenError::Engine(EngineError::new(error)),
    }
}

/// Whether fjall has begun to make its directory and not finished: it writes its version last, and the store's keyspace
/// (beside its own, 0) only after that.
fn is_unfinished(directory: &Path) -> bool {
    directory.exists() && !directory.join("version").exists() && !directory.join("keyspaces/1").exists()
}
