//! The embedded engine: a journal of its own in front of `fjall`'s tables.
//!
//! A batch is appended to the journal, synced once, and put into the newest layer in memory; a full layer becomes a table of
//! one `fjall` keyspace in the background (docs/decisions/0031). `<path>/journal` is the journal, `<path>/fjall` fjall's own
//! directory, `<path>/acknowledged` the mark of what was durable. Before anything is read from the journal it is examined
//! (see `fjall/journal.rs`): what follows damage must not be dropped without saying so. Opening changes nothing of it; the
//! first sync or write, when recovery has accepted what was read, makes all of it durable and goes on in it. Nothing here
//! understands the records beyond finding log records in that journal.

pub(crate) mod journal;
pub(crate) mod mark;

mod flush;
mod layers;
mod tables;
mod view;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::{Acknowledged, Batch, Durability, Engine, Snapshot, Storage};
use crate::{EngineError, OpenError, Repaired, Revision};
use flush::Flushing;
use journal::segments::Segments;
use journal::{Examined, sync_directory};
use layers::Layers;
use mark::Mark;
use tables::Tables;
use view::View;

/// Bytes of a layer in memory, and so of a file of the journal and of a new table: what is smaller is merged more often.
const LAYER: usize = 8 << 20;
/// Full layers that wait to become tables, beyond which writes wait, too.
const LAYERS: usize = 4;

/// Opens the engine in a directory, which is made if it is not there; blocks for as long as reading the journal takes.
///
/// # Errors
/// [`OpenError::InUse`] when another process has it open, [`OpenError::Lost`] when acknowledged writes are missing from
/// its journal, [`OpenError::Damaged`] when a file of it is missing (nothing has been changed then),
/// [`OpenError::Engine`] when fjall cannot open it.
pub fn open(path: impl AsRef<Path>) -> Result<Engine, OpenError> {
    let path = path.as_ref();
    std::fs::create_dir_all(path).map_err(|error| at(path, error))?;
    let mark = Mark::open(&path.join("acknowledged"))?;
    let examined = examine(path, &mark)?;
    Ok(Engine::new(open_examined(path, mark, examined)?))
}

/// Opens a directory that [`open`] refuses, or whose records recovery refuses, and keeps of it what is whole: of the journal
/// what comes before its first damage. The rest of it is kept in files beside it; blocks.
///
/// # Errors
/// [`OpenError::InUse`], or [`OpenError::Engine`] when fjall's tables cannot be read.
pub fn repair(path: impl AsRef<Path>) -> Result<Repaired, OpenError> {
    let path = path.as_ref();
    let mark = Mark::open(&path.join("acknowledged"))?;
    let known = journal::aside::give_up(&journal_of(path)?, path).map_err(|error| at(path, error))?;
    if mark.read().is_err() {
        mark.write(known.unwrap_or_default())?;
    }
    let engine = Engine::new(open_examined(path, mark, Examined { known, proven: None })?);
    Ok(crate::repair::repair(&engine, known.unwrap_or_default())?)
}

/// Looks at the journal. Our own is not changed; one that an earlier version left loses its torn tail, as it would to
/// fjall, but to a file beside it.
fn examine(path: &Path, mark: &Mark) -> Result<Examined, OpenError> {
    let directory = journal_of(path)?;
    let examined = journal::examine(&directory, mark)?;
    if directory != path.join(JOURNAL) {
        journal::aside::cut_tail(&directory, path, mark, examined)?;
    }
    Ok(examined)
}

fn open_examined(path: &Path, mark: Mark, examined: Examined) -> Result<Fjall, OpenError> {
    let tables = Tables::open(&path.join("fjall"), examined.known.is_none())?;
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
    Ok(Fjall::begin(path.to_owned(), tables, Arc::new(layers), segments, mark, examined.proven)?)
}

/// Below the store's directory.
const JOURNAL: &str = "journal";

/// The directory of the journal; fjall's own, where an earlier version wrote the store and no other has written to it.
fn journal_of(path: &Path) -> Result<PathBuf, OpenError> {
    let directory = path.join(JOURNAL);
    let is_empty = journal::numbered(&directory).map_err(|error| at(&directory, error))?.is_empty();
    Ok(if is_empty { path.join("fjall") } else { directory })
}

fn at(path: &Path, error: std::io::Error) -> EngineError {
    EngineError::new(format!("{}: {error}", path.display()))
}

struct Fjall {
    path: PathBuf,
    journal: Mutex<Segments>,
    layers: Arc<Layers>,
    /// Bytes at which a layer is full.
    layer: usize,
    flushing: Option<JoinHandle<()>>,
    tables: Tables,
    /// What the journal as it was found proves to have been durable.
    proven: Option<Revision>,
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
        proven: Option<Revision>,
    ) -> Result<Self, EngineError> {
        let flushing =
            Flushing { layers: layers.clone(), tables: tables.clone(), journal: path.join(JOURNAL) };
        let thread = std::thread::Builder::new().name("flush".to_owned());
        let flushing = Some(thread.spawn(move || flushing.run()).map_err(EngineError::new)?);
        Ok(Self { path, journal: Mutex::new(segments), layers, layer: LAYER, flushing, tables, proven, mark })
    }

    fn journal(&self) -> MutexGuard<'_, Segments> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what has to be durable, or known to be lost, before anybody sees it.
    fn append(
        &self,
        journal: &mut Segments,
        batch: &Batch,
        durability: Durability,
    ) -> Result<(), EngineError> {
        self.before_the_first(journal)?;
        let appended = journal.append(batch).and_then(|()| match durability {
            Durability::Synced => journal.sync(),
            Durability::Deferred => Ok(()),
        });
        appended.map_err(|error| self.in_journal(error))
    }

    /// Before there is a journal of ours, fjall may have read what an earlier version wrote to fjall's own. Nobody
    /// examines that once there is one, so it has to be in tables.
    fn before_the_first(&self, journal: &Segments) -> Result<(), EngineError> {
        if journal.is_absent() { self.tables.settle() } else { Ok(()) }
    }

    /// Begins a new layer and the next file of the journal. What was written is where it belongs: if this fails, it is the
    /// next write that is refused.
    fn rotate(&self, journal: &mut Segments) {
        match journal.next() {
            Ok(finished) => self.layers.begin(finished),
            Err(error) => self.layers.fail(&self.in_journal(error)),
        }
    }

    fn in_journal(&self, error: std::io::Error) -> EngineError {
        at(&self.path.join(JOURNAL), error)
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
        // Before it is written: afterwards it is durable, and whoever waits for it is answered.
        self.layers.wait_for_room(LAYERS);
        // Held until the batch is visible: what is in the journal's order is in the layers' order.
        let mut journal = self.journal();
        self.layers.check()?;
        if let Err(error) = self.append(&mut journal, &batch, durability) {
            // What is in the journal is not known any more; nothing may be written behind it.
            self.layers.fail(&error);
            return Err(error);
        }
        if self.layers.add(batch.changes) >= self.layer {
            self.rotate(&mut journal);
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let (layers, tables, look) = self.layers.view(|| self.tables.database.snapshot());
        Box::new(View { layers, tables, keyspace: self.tables.keyspace.clone(), _look: look })
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        self.mark.write(revision)
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        let marked = self.mark.read()?.map(|revision| Acknowledged {
            revision,
            evidence: format!("remembered in {}", self.path.join("acknowledged").display()),
        });
        let proven = self.proven.map(|revision| Acknowledged {
            revision,
            evidence: format!("its journal {} is damaged at its end", self.path.join(JOURNAL).display()),
        });
        Ok(marked.into_iter().chain(proven).max_by_key(|durable| durable.revision))
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut journal = self.journal();
        self.before_the_first(&journal)?;
        journal.sync().map_err(|error| self.in_journal(error))?;
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

#[cfg(test)]
mod tests;
