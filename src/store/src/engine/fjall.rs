//! The embedded engine: a journal of its own in front of `fjall`'s tables.
//!
//! A batch is appended to the journal, synced once, and put into the newest layer in memory; a full layer becomes a table of
//! one `fjall` keyspace in the background (docs/decisions/0031). `<path>/journal` is the journal, `<path>/fjall` fjall's own
//! directory, `<path>/acknowledged` the mark of what was durable. Before anything is read from the journal it is examined
//! (see `fjall/journal.rs`): what follows damage must not be dropped without saying so. Nothing here understands the records
//! beyond finding log records in that journal.

pub(crate) mod journal;
pub(crate) mod mark;

mod flush;
mod layers;
mod view;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Acknowledged, Batch, Durability, Engine, Snapshot, Storage};
use crate::{EngineError, OpenError, Repaired, Revision};
use flush::Flushing;
use journal::segments::Segments;
use layers::Layers;
use mark::Mark;
use view::View;

const MIB: u64 = 1 << 20;
/// The current map answers most reads, so there is little for a block cache to do.
const CACHE: u64 = 4 * MIB;
/// Bytes of a block of a table: opening a store reads all of them, one call each, and hardly anything reads a single one.
const BLOCK: u32 = 16 << 10;
/// Bytes of a layer in memory, and so of a file of the journal and of a new table: what is smaller is merged more often.
const LAYER: usize = 8 * MIB as usize;
/// Full layers that wait to become tables, beyond which writes wait, too.
const LAYERS: usize = 4;
/// New tables that are merged at once: each time, all older ones that overlap are written anew, and of a store's most do.
const UNMERGED: u8 = 8;
/// Threads that merge. Of several, fjall's first never merges and, as long as another does, hands itself the same task
/// again and again: a third of all CPU under load (docs/decisions/0009).
const WORKERS: usize = 1;

/// Opens the engine in a directory, which is made if it is not there; blocks for as long as reading the journal takes.
///
/// # Errors
/// [`OpenError::InUse`] when another process has it open, [`OpenError::Lost`] when acknowledged writes are missing from
/// its journal (nothing has been changed then), [`OpenError::Engine`] when fjall cannot open it.
pub fn open(path: impl AsRef<Path>) -> Result<Engine, OpenError> {
    let path = path.as_ref();
    std::fs::create_dir_all(path).map_err(|error| at(path, error))?;
    let mark = Mark::open(&path.join("acknowledged"))?;
    let known = journal::examine(&journal_of(path)?, path, &mark)?;
    Ok(Engine::new(open_examined(path, mark, known)?))
}

/// Opens a directory that [`open`] refuses, or whose records recovery refuses, and keeps of it what is whole. What is cut
/// off the journal is kept in a file beside it; blocks.
///
/// # Errors
/// [`OpenError::InUse`], or [`OpenError::Engine`] when fjall's tables cannot be read.
pub fn repair(path: impl AsRef<Path>) -> Result<Repaired, OpenError> {
    let path = path.as_ref();
    let mark = Mark::open(&path.join("acknowledged"))?;
    let known = journal::give_up(&journal_of(path)?, path).map_err(|error| at(path, error))?;
    if mark.read().is_err() {
        mark.write(known.unwrap_or_default())?;
    }
    let engine = Engine::new(open_examined(path, mark, known)?);
    Ok(crate::repair::repair(&engine, known.unwrap_or_default())?)
}

/// `known` is the highest revision that the journal tells of.
fn open_examined(path: &Path, mark: Mark, known: Option<Revision>) -> Result<Fjall, OpenError> {
    let directory = path.join("fjall");
    if known.is_none() && is_unfinished(&directory) {
        // The process that was to make it ended before it was made; fjall would not go on from there.
        std::fs::remove_dir_all(&directory).map_err(EngineError::new)?;
    }
    let database = Database::builder(&directory)
        .cache_size(CACHE)
        .worker_threads(WORKERS)
        // Those of earlier versions are examined before fjall reads them.
        .journal_compression(fjall::CompressionType::None)
        .manual_journal_persist(true)
        .open()
        .map_err(open_error)?;
    let keyspace = database.keyspace("store", keyspace_options).map_err(open_error)?;
    let layers = Layers::default();
    let directory = path.join(JOURNAL);
    let segments = Segments::open(&directory, |change| {
        layers.add(vec![change]);
    });
    let segments = segments.map_err(|error| at(&directory, error))?;
    // The directories themselves have to be there after a power cut too.
    sync_directory(path).map_err(EngineError::new)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(parent).map_err(EngineError::new)?;
    }
    let tables = Tables { database, keyspace };
    Ok(Fjall::begin(path.to_owned(), tables, Arc::new(layers), segments, mark)?)
}

/// Below the store's directory.
const JOURNAL: &str = "journal";

/// The directory of the journal; fjall's own, where an earlier version wrote the store and no other has written to it.
fn journal_of(path: &Path) -> Result<PathBuf, OpenError> {
    let directory = path.join(JOURNAL);
    let is_empty = journal::numbered(&directory).map_err(|error| at(&directory, error))?.is_empty();
    Ok(if is_empty { path.join("fjall") } else { directory })
}

fn keyspace_options() -> KeyspaceCreateOptions {
    // Nearly all reads are scans, or of records that are there: filters would only take memory.
    KeyspaceCreateOptions::default()
        .filter_policy(FilterPolicy::disabled())
        .data_block_size_policy(BlockSizePolicy::all(BLOCK))
        .compaction_strategy(Arc::new(Leveled::default().with_l0_threshold(UNMERGED)))
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

#[derive(Clone)]
struct Tables {
    database: Database,
    keyspace: Keyspace,
}

struct Fjall {
    path: PathBuf,
    journal: Mutex<Segments>,
    layers: Arc<Layers>,
    /// Bytes at which a layer is full.
    layer: usize,
    flushing: Option<JoinHandle<()>>,
    tables: Tables,
    // The lock on the directory goes last.
    mark: Mark,
}

impl Fjall {
    fn begin(
        path: PathBuf,
        tables: Tables,
        layers: Arc<Layers>,
        segments: Segments,
        mark: Mark,
    ) -> Result<Self, EngineError> {
        let Tables { database, keyspace } = tables.clone();
        let flushing = Flushing { layers: layers.clone(), database, keyspace, journal: path.join(JOURNAL) };
        let thread = std::thread::Builder::new().name("flush".to_owned());
        let flushing = Some(thread.spawn(move || flushing.run()).map_err(EngineError::new)?);
        Ok(Self { path, journal: Mutex::new(segments), layers, layer: LAYER, flushing, tables, mark })
    }

    fn journal(&self) -> MutexGuard<'_, Segments> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what has to be durable, or known to be lost, before anybody sees it.
    fn append(&self, journal: &mut Segments, batch: &Batch, durability: Durability) -> std::io::Result<()> {
        journal.append(batch)?;
        match durability {
            Durability::Synced => journal.sync(),
            Durability::Deferred => Ok(()),
        }
    }
}

impl Drop for Fjall {
    fn drop(&mut self) {
        self.layers.end();
        if let Some(Err(_)) = self.flushing.take().map(JoinHandle::join) {
            tracing::error!("the thread that writes tables panicked");
        }
    }
}

impl Storage for Fjall {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        // Held until the batch is visible: what is in the journal's order is in the layers' order.
        let mut journal = self.journal();
        self.layers.check()?;
        if let Err(error) = self.append(&mut journal, &batch, durability) {
            let error = at(&self.path.join(JOURNAL), error);
            // What is in the journal is not known any more; nothing may be written behind it.
            self.layers.fail(&error);
            return Err(error);
        }
        if self.layers.add(batch.changes) < self.layer {
            return Ok(());
        }
        let finished = journal.next().map_err(|error| at(&self.path.join(JOURNAL), error));
        let finished = finished.inspect_err(|error| self.layers.fail(error))?;
        self.layers.begin(finished, LAYERS)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let (layers, tables, look) = self.layers.view(|| self.tables.database.snapshot());
        Box::new(View { layers, tables, keyspace: self.tables.keyspace.clone(), _look: look })
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        self.mark.write(revision)
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        let evidence = || format!("remembered in {}", self.path.join("acknowledged").display());
        Ok(self.mark.read()?.map(|revision| Acknowledged { revision, evidence: evidence() }))
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.journal().sync().map_err(EngineError::new)?;
        self.mark.sync()
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        allocated(&self.path).map_err(EngineError::new)
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

#[cfg(test)]
mod tests;
