//! The tables below the layers: what the engine asks of them, and fjall's.
//!
//! A layer becomes one table, all of it or nothing, past fjall's own journal and memtables, since everything is in our
//! journal already. fjall merges tables by itself. A simulation puts a map in their place.

use bytes::Bytes;
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::journal;
use super::layers::Pairs;
use super::system::Native;
use crate::engine::{Pair, Snapshot};
use crate::{EngineError, OpenError};

/// What the engine asks of tables.
pub(crate) trait Tables: Clone + Send + Sync + 'static {
    type Snapshot: Snapshot + 'static;

    /// The tables as they are.
    fn snapshot(&self) -> Self::Snapshot;

    /// Makes a table of a layer, which is durable and visible then, whole. After an error it may be there or not.
    fn ingest(&self, layer: &Pairs) -> Result<(), EngineError>;

    /// Waits while merging has fallen behind, unless it is not worth it any more.
    fn wait_for_merges(&self, is_over: impl Fn() -> bool) -> Result<(), EngineError>;

    /// Waits until what the tables' own journal held, where an earlier version wrote one, is in tables, too.
    fn settle(&self) -> Result<(), EngineError>;

    /// Whether there are tables, or soon will be, that are only kept because somebody may have looked at them.
    fn is_unsettled(&self) -> bool;

    /// A number for what is to be seen now.
    fn moment(&self) -> u64;

    /// Lets the tables go that only snapshots of before a moment need. Whoever looks later sees what is newer.
    fn release(&self, before: u64);
}

/// The current map answers most reads, so there is little for a block cache to do.
const CACHE: u64 = 4 << 20;
/// Bytes of a block of a table: opening a store reads all of them, one call each, and hardly anything reads a single one.
const BLOCK: u32 = 16 << 10;
/// New tables that are merged at once: each time, all older ones that overlap are written anew, and of a store's most do.
const UNMERGED: u8 = 8;
/// Tables that wait to be merged, beyond which no more are made: merging has fallen behind.
pub(super) const CROWD: usize = 20;
/// How long nothing has to have been merged to say that nothing will be until fjall is asked.
const IDLE: Duration = Duration::from_secs(1);
/// How long it is waited before it is looked again: fjall tells nobody what it has done.
const PAUSE: Duration = Duration::from_millis(10);
/// Threads that merge. Of several, fjall's first never merges and, as long as another does, hands itself the same task
/// again and again: a third of all CPU under load (docs/decisions/0009).
const WORKERS: usize = 1;

/// fjall's.
#[derive(Clone)]
pub(super) struct FjallTables {
    database: Database,
    keyspace: Keyspace,
}

impl FjallTables {
    /// Opens fjall's directory, which is made if it is not there. `is_fresh`: nothing is known to have been written.
    pub(super) fn open(directory: &Path, is_fresh: bool) -> Result<Self, OpenError> {
        if is_fresh && is_unfinished(directory) {
            // The process that was to make it ended before it was made; fjall would not go on from there.
            std::fs::remove_dir_all(directory).map_err(EngineError::new)?;
        }
        check_complete(directory)?;
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

    /// Fails once writing or merging tables has failed.
    fn check(&self) -> Result<(), EngineError> {
        // This writes nothing by itself, since nobody writes to fjall's journal.
        self.database.persist(PersistMode::Buffer).map_err(EngineError::new)
    }
}

impl Tables for FjallTables {
    type Snapshot = Seen;

    fn snapshot(&self) -> Seen {
        Seen { snapshot: self.database.snapshot(), keyspace: self.keyspace.clone() }
    }

    fn ingest(&self, layer: &Pairs) -> Result<(), EngineError> {
        let mut table = self.keyspace.start_ingestion().map_err(EngineError::new)?;
        for (key, value) in layer {
            match value {
                Some(value) => table.write(key.clone(), value.clone()),
                None => table.write_tombstone(key.clone()),
            }
            .map_err(EngineError::new)?;
        }
        table.finish().map_err(EngineError::new)
    }

    /// Looks again and again, only while there are far too many tables, and no longer than merging goes on: fjall merges
    /// when it is asked, and each new table asks.
    fn wait_for_merges(&self, is_over: impl Fn() -> bool) -> Result<(), EngineError> {
        let mut merging = Instant::now();
        loop {
            self.check()?;
            if self.keyspace.l0_table_count() < CROWD || is_over() {
                return Ok(());
            }
            if self.database.active_compactions() > 0 {
                merging = Instant::now();
            } else if merging.elapsed() > IDLE {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn settle(&self) -> Result<(), EngineError> {
        self.keyspace.rotate_memtable().map_err(EngineError::new)?;
        while self.keyspace.sealed_memtable_count() > 0 {
            self.check()?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn is_unsettled(&self) -> bool {
        self.keyspace.tree.version_free_list_len() > 0 || self.database.active_compactions() > 0
    }

    fn moment(&self) -> u64 {
        self.database.visible_seqno()
    }

    /// fjall does that by itself when later merges end, and so keeps everything twice until then.
    fn release(&self, before: u64) {
        let mut versions = self.keyspace.tree.get_version_history_lock();
        if let Err(error) = versions.maintenance(self.keyspace.path(), before) {
            tracing::warn!(%error, "tables that nobody needs are kept");
        }
    }
}

/// fjall's tables as they were.
pub(super) struct Seen {
    snapshot: fjall::Snapshot,
    keyspace: Keyspace,
}

impl Snapshot for Seen {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.snapshot.get(&self.keyspace, key).map_err(failed)?;
        Ok(value.map(Bytes::from))
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        let pairs = self.snapshot.range(&self.keyspace, from..to).map(|pair| match pair.into_inner() {
            Ok((key, value)) => Ok((key.into(), value.into())),
            Err(error) => Err(failed(error)),
        });
        Box::new(pairs)
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
        error => OpenError::Engine(failed(error)),
    }
}

/// fjall says what it met, not what that means.
fn failed(error: fjall::Error) -> EngineError {
    let is_damage = match &error {
        fjall::Error::Storage(error) => error.source().is_none(),
        error => matches!(error, fjall::Error::Unrecoverable | fjall::Error::Decompress(_)),
    };
    if is_damage {
        EngineError::new(format!("a table of the store is damaged or missing ({error}): restore a snapshot"))
    } else {
        EngineError::new(error)
    }
}

/// What fjall finds its tables by has to be there: without, it takes them for nobody's and removes them as it opens.
fn check_complete(directory: &Path) -> Result<(), OpenError> {
    let is_empty =
        |part: &str| std::fs::read_dir(directory.join(part)).map_or(true, |mut files| files.next().is_none());
    if is_empty("keyspaces/1/tables") {
        return Ok(());
    }
    let missing = ["version", "keyspaces/0/current", "keyspaces/1/current"];
    let missing = missing.into_iter().find(|part| !directory.join(part).exists());
    let journals = journal::numbered(&Native, directory).map_err(EngineError::new)?;
    match missing.or(journals.is_empty().then_some("0.jnl")) {
        None => Ok(()),
        Some(part) => Err(OpenError::Damaged(format!("{} is missing", directory.join(part).display()))),
    }
}

/// Whether fjall has begun to make its directory and not finished: it writes its version last, and the store's keyspace
/// (beside its own, 0) only after that.
fn is_unfinished(directory: &Path) -> bool {
    directory.exists() && !directory.join("version").exists() && !directory.join("keyspaces/1").exists()
}
