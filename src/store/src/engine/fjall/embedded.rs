//! The engine itself: journal, layers and flushing over any [`System`] and any [`Tables`], these and fjall's or simulated ones.
//!
//! A batch goes into the journal and then into the newest layer; a full layer, with the file of the journal that ends with it,
//! goes to the flushing. What was found in the journal is examined already when it comes here, and is replayed into the layers.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::flush::Flushing;
use super::journal::Examined;
use super::journal::segments::Segments;
use super::layers::Layers;
use super::mark::Mark;
use super::system::System;
use super::tables::Tables;
use super::view::View;
use super::{JOURNAL, MARK, at, examine};
use crate::engine::{Acknowledged, Batch, Durability, Snapshot, Storage};
use crate::{EngineError, OpenError, Revision};

/// How much there is of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Bytes of a layer in memory, and so of a file of the journal and of a new table: what is smaller is merged more often.
    pub(crate) layer: usize,
    /// Full layers that wait to become tables, beyond which writes wait, too.
    pub(crate) layers: usize,
    /// How far ahead the journal is filled with zeros, in bytes.
    pub(crate) stretch: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { layer: 8 << 20, layers: 4, stretch: 2 << 20 }
    }
}

/// The engine over a system's files and over tables.
pub(crate) struct Embedded<S: System, T: Tables> {
    system: S,
    path: PathBuf,
    sizes: Sizes,
    journal: Mutex<Segments<S>>,
    layers: Arc<Layers>,
    flushing: Option<JoinHandle<()>>,
    tables: T,
    /// What the journal as it was found proves to have been durable.
    proven: Option<Revision>,
    // The lock on the directory goes last.
    mark: Mark<S::File>,
}

impl<S: System, T: Tables> Embedded<S, T> {
    /// Opens a directory, as [`super::open`] does. `tables` opens what is below; it is told whether nothing is known to have been
    /// written.
    pub(crate) fn open(
        system: S,
        path: &Path,
        sizes: Sizes,
        tables: impl FnOnce(bool) -> Result<T, OpenError> + Send,
    ) -> Result<Self, OpenError> {
        system.create_directory(path).map_err(|error| at(path, error))?;
        let mark = Mark::open(&system, &path.join(MARK))?;
        let examined = examine(&system, path, &mark)?;
        Self::go_on(system, path, sizes, mark, examined, tables)
    }

    /// Goes on from what was examined.
    pub(super) fn go_on(
        system: S,
        path: &Path,
        sizes: Sizes,
        mark: Mark<S::File>,
        examined: Examined,
        tables: impl FnOnce(bool) -> Result<T, OpenError> + Send,
    ) -> Result<Self, OpenError> {
        let Examined { known, proven, files } = examined;
        let journal = Segments::open(system.clone(), &path.join(JOURNAL), sizes.stretch, files.last());
        let layers = Arc::new(Layers::default());
        let tables = thread::scope(|scope| {
            let tables = scope.spawn(|| tables(known.is_none()));
            for file in files {
                file.replay(|changes| {
                    layers.add(changes);
                });
            }
            tables.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        sync_directories(&system, path).map_err(|error| at(path, error))?;
        let (path, journal) = (path.to_owned(), Mutex::new(journal));
        let mut engine = Self { system, path, sizes, journal, layers, flushing: None, tables, proven, mark };
        let flushing = engine.flushing();
        engine.flushing = engine.system.spawn("flush", || flushing.run()).map_err(EngineError::new)?;
        Ok(engine)
    }

    fn flushing(&self) -> Flushing<S, T> {
        let (layers, tables) = (self.layers.clone(), self.tables.clone());
        Flushing { layers, tables, system: self.system.clone(), journal: self.path.join(JOURNAL) }
    }

    fn journal(&self) -> MutexGuard<'_, Segments<S>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what has to be durable, or known to be lost, before anybody sees it.
    fn append(
        &self,
        journal: &mut Segments<S>,
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
    fn before_the_first(&self, journal: &Segments<S>) -> Result<(), EngineError> {
        if journal.is_absent() { self.tables.settle() } else { Ok(()) }
    }

    /// Begins a new layer and the next file of the journal. What was written is where it belongs: if this fails, it is the
    /// next write that is refused.
    fn rotate(&self, journal: &mut Segments<S>) {
        match journal.next() {
            Ok(finished) => self.layers.begin(finished),
            Err(error) => self.layers.fail(&self.in_journal(error)),
        }
    }

    fn in_journal(&self, error: std::io::Error) -> EngineError {
        at(&self.path.join(JOURNAL), error)
    }
}

/// Where the system does nothing by itself.
#[cfg(test)]
impl<S: System, T: Tables> Embedded<S, T> {
    /// Does a step of what is otherwise done in the background; whether there may be another one.
    pub(crate) fn step(&self) -> std::ops::ControlFlow<()> {
        self.flushing().step(Some(std::time::Duration::ZERO))
    }

    /// Whether the next write waits for such a step.
    pub(crate) fn is_crowded(&self) -> bool {
        self.layers.is_crowded(self.sizes.layers)
    }
}

/// The directories themselves have to be there after a power cut, too.
fn sync_directories(system: &impl System, path: &Path) -> std::io::Result<()> {
    system.sync_directory(path)?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => system.sync_directory(parent),
        None => Ok(()),
    }
}

impl<S: System, T: Tables> Drop for Embedded<S, T> {
    fn drop(&mut self) {
        self.layers.end();
        if let Some(Err(_)) = self.flushing.take().map(JoinHandle::join) {
            tracing::error!("the thread that writes tables panicked");
        }
    }
}

impl<S: System, T: Tables> Storage for Embedded<S, T> {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        // Before it is written: afterwards it is durable, and whoever waits for it is answered.
        self.layers.wait_for_room(self.sizes.layers);
        // Held until the batch is visible: what is in the journal's order is in the layers' order.
        let mut journal = self.journal();
        self.layers.check()?;
        if let Err(error) = self.append(&mut journal, &batch, durability) {
            // What is in the journal is not known any more; nothing may be written behind it.
            self.layers.fail(&error);
            return Err(error);
        }
        if self.layers.add(batch.changes) >= self.sizes.layer {
            self.rotate(&mut journal);
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let (layers, tables, look) = self.layers.view(|| self.tables.snapshot());
        Box::new(View { layers, tables, _look: look })
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        self.mark.write(revision)
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        let marked = self.mark.read()?.map(|revision| Acknowledged {
            revision,
            evidence: format!("remembered in {}", self.path.join(MARK).display()),
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
        self.system.allocated(&self.path).map_err(EngineError::new)
    }
}
