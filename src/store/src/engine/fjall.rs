//! The embedded engine: one `fjall` keyspace, its caches small, its journal synced once per batch.
//!
//! `<path>/fjall` is fjall's own directory, `<path>/acknowledged` the mark of what was durable. Before fjall opens its
//! directory its newest journal is examined (see `fjall/journal.rs`), because fjall drops whatever lies behind a damaged batch
//! without saying so. Nothing here understands the records beyond finding log records in that journal.

pub(crate) mod journal;
pub(crate) mod mark;

use bytes::Bytes;
use fjall::config::FilterPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Acknowledged, Batch, Change, Durability, Engine, Pair, Snapshot, Storage};
use crate::{EngineError, OpenError, Repaired, Revision};
use mark::Mark;

const MIB: u64 = 1 << 20;
/// The current map answers most reads, so there is little for a block cache to do.
const CACHE: u64 = 4 * MIB;
/// Data that is not yet in tables: what one flush writes, and what stays in memory. With half of it tables are merged so
/// often that a write costs half as much again.
const MEMTABLE: u64 = 8 * MIB;
/// Threads that flush and merge. Of several, fjall's first never merges and, as long as another does, hands itself the same
/// task again and again: a third of all CPU under load (docs/decisions/0009).
const WORKERS: usize = 1;
/// The least that fjall takes.
const JOURNALS: u64 = 64 * MIB;

/// Opens the engine in a directory, which is made if it is not there; blocks for as long as reading the journal takes.
///
/// # Errors
/// [`OpenError::InUse`] when another process has it open, [`OpenError::Lost`] when acknowledged writes are missing from
/// its journal (nothing has been changed then), [`OpenError::Engine`] when fjall cannot open it.
pub fn open(path: impl AsRef<Path>) -> Result<Engine, OpenError> {
    let path = path.as_ref();
    std::fs::create_dir_all(path).map_err(|error| at(path, error))?;
    let mark = Mark::open(&path.join("acknowledged"))?;
    let known = journal::examine(&path.join("fjall"), path, &mark)?;
    open_examined(path, mark, known)
}

/// Opens a directory that [`open`] refuses, or whose records recovery refuses, and keeps of it what is whole. What is cut
/// off the journal is kept in a file beside it; blocks.
///
/// # Errors
/// [`OpenError::InUse`], or [`OpenError::Engine`] when fjall's tables cannot be read.
pub fn repair(path: impl AsRef<Path>) -> Result<Repaired, OpenError> {
    let path = path.as_ref();
    let mark = Mark::open(&path.join("acknowledged"))?;
    let known = journal::give_up(&path.join("fjall"), path).map_err(|error| at(path, error))?;
    if mark.read().is_err() {
        mark.write(known.unwrap_or_default())?;
    }
    let engine = open_examined(path, mark, known)?;
    Ok(crate::repair::repair(&engine, known.unwrap_or_default())?)
}

/// `known` is the highest revision that the journal tells of.
fn open_examined(path: &Path, mark: Mark, known: Option<Revision>) -> Result<Engine, OpenError> {
    let directory = path.join("fjall");
    if known.is_none() && is_unfinished(&directory) {
        // The process that was to make it ended before it was made; fjall would not go on from there.
        std::fs::remove_dir_all(&directory).map_err(EngineError::new)?;
    }
    let database = Database::builder(&directory)
        .cache_size(CACHE)
        .worker_threads(WORKERS)
        .max_journaling_size(JOURNALS)
        // Log records have to be recognisable in it.
        .journal_compression(fjall::CompressionType::None)
        .manual_journal_persist(true)
        .open()
        .map_err(open_error)?;
    let keyspace = database.keyspace("store", keyspace_options).map_err(open_error)?;
    // The directories themselves have to be there after a power cut too.
    sync_directory(path).map_err(EngineError::new)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(parent).map_err(EngineError::new)?;
    }
    Ok(Engine::new(Fjall { path: path.to_owned(), database, keyspace, mark }))
}

fn keyspace_options() -> KeyspaceCreateOptions {
    // Nearly all reads are scans, or of records that are there: filters would only take memory.
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE).filter_policy(FilterPolicy::disabled())
}

fn at(path: &Path, error: std::io::Error) -> EngineError {
    EngineError::new(format!("{}: {error}", path.display()))
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

struct Fjall {
    path: PathBuf,
    database: Database,
    keyspace: Keyspace,
    mark: Mark,
}

impl Storage for Fjall {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let persist = match durability {
            Durability::Synced => PersistMode::SyncData,
            Durability::Deferred => PersistMode::Buffer,
        };
        let mut changes = self.database.batch().durability(Some(persist));
        for change in batch.changes {
            match change {
                Change::Put(key, value) => changes.insert(&self.keyspace, key, value),
                Change::Remove(key) => changes.remove(&self.keyspace, key),
            }
        }
        changes.commit().map_err(EngineError::new)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(View { snapshot: self.database.snapshot(), keyspace: self.keyspace.clone() })
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        self.mark.write(revision)
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        let evidence = || format!("remembered in {}", self.path.join("acknowledged").display());
        Ok(self.mark.read()?.map(|revision| Acknowledged { revision, evidence: evidence() }))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.database.persist(PersistMode::SyncAll).map_err(EngineError::new)?;
        self.mark.sync()
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        allocated(&self.path).map_err(EngineError::new)
    }
}

struct View {
    snapshot: fjall::Snapshot,
    keyspace: Keyspace,
}

impl Snapshot for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.snapshot.get(&self.keyspace, key).map_err(EngineError::new)?;
        Ok(value.map(Bytes::from))
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        let pairs = self.snapshot.range(&self.keyspace, from..to);
        Box::new(pairs.map(|pair| match pair.into_inner() {
            Ok((key, value)) => Ok((key.into(), value.into())),
            Err(error) => Err(EngineError::new(error)),
        }))
    }
}

/// Bytes that a directory takes on the disk; journals are sparse, so their lengths would not tell.
fn allocated(directory: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for file in std::fs::read_dir(directory)? {
        let file = file?;
        sum += match file.metadata() {
            Ok(metadata) if metadata.is_dir() => allocated(&file.path())?,
            Ok(metadata) => metadata.blocks() * 512,
            // Tables and journals go while we look.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(sum)
}

/// Whether fjall has begun to make its directory and not finished: it writes its version last, and the store's keyspace
/// (beside its own, 0) only after that.
fn is_unfinished(directory: &Path) -> bool {
    directory.exists() && !directory.join("version").exists() && !directory.join("keyspaces/1").exists()
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}
