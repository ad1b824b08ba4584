//! The embedded engine: a journal of its own in front of `fjall`'s tables.
//!
//! A batch is appended to the journal, synced once, and put into the newest layer in memory; a full layer becomes a table of
//! one `fjall` keyspace in the background (docs/decisions/0031). `<path>/journal` is the journal, `<path>/fjall` fjall's own
//! directory, `<path>/acknowledged` the mark of what was durable. Before anything is read from the journal it is examined
//! (see `fjall/journal.rs`): what follows damage must not be dropped without saying so. Opening changes nothing of it; the
//! first sync or write, when recovery has accepted what was read, makes all of it durable and goes on in it. Nothing here
//! understands the records beyond finding log records in that journal.
//!
//! [`Embedded`] is all of that over any system and any tables; here is the door to it over this system and fjall's tables.

pub(crate) mod system;
pub(crate) mod tables;

mod embedded;
mod flush;
mod journal;
mod layers;
mod mark;
mod view;

use std::path::{Path, PathBuf};

use super::Engine;
use crate::{EngineError, OpenError, Repaired};
use journal::Examined;
use mark::Mark;
use system::{Native, System};
use tables::FjallTables;

pub(crate) use embedded::{Embedded, Sizes};

/// Opens the engine in a directory, which is made if it is not there; blocks for as long as reading the journal takes. What is
/// in the newest file of the journal is written a second time meanwhile, for whoever will write; that goes again when nobody
/// does.
///
/// # Errors
/// [`OpenError::InUse`] when another process has it open, [`OpenError::Lost`] when acknowledged writes are missing from
/// its journal, [`OpenError::Damaged`] when a file of it is missing (nothing has been changed then),
/// [`OpenError::Engine`] when fjall cannot open it.
pub fn open(path: impl AsRef<Path>) -> Result<Engine, OpenError> {
    let path = path.as_ref();
    Ok(Engine::new(Embedded::open(Native, path, Sizes::default(), tables_in(path))?))
}

/// Opens a directory that [`open`] refuses, or whose records recovery refuses, and keeps of it what is whole: of the journal
/// what comes before its first damage. The rest of it is kept in files beside it; blocks.
///
/// # Errors
/// [`OpenError::InUse`]; [`OpenError::Damaged`] when a file is missing that fjall finds its tables by; [`OpenError::Engine`]
/// when they cannot be read or the repaired store cannot be written; [`OpenError::Unfinished`] when a restore into it was not
/// finished, since a part of a snapshot is no store. All but the first come after the journal was cut: only what is whole of
/// it can be read.
pub fn repair(path: impl AsRef<Path>) -> Result<Repaired, OpenError> {
    let path = path.as_ref();
    let mark = Mark::open(&Native, &path.join(MARK))?;
    let directory = journal_of(&Native, path)?;
    let known = journal::aside::give_up(&Native, &directory, path).map_err(|error| at(path, error))?;
    if mark.read().is_err() {
        mark.write(known.unwrap_or_default())?;
    }
    let files = journal::read(&Native, &path.join(JOURNAL)).map_err(|error| at(path, error))?;
    let examined = Examined { known, proven: None, files };
    let embedded = Embedded::go_on(Native, path, Sizes::default(), mark, examined, tables_in(path))?;
    crate::repair::repair(&Engine::new(embedded), known.unwrap_or_default())
}

/// Opens fjall's tables of a store.
fn tables_in(path: &Path) -> impl FnOnce(bool) -> Result<FjallTables, OpenError> + Send {
    let directory = path.join("fjall");
    move |is_fresh| FjallTables::open(&directory, is_fresh)
}

/// Looks at the journal. Our own is not changed; one that an earlier version left loses its torn tail, as it would to
/// fjall, but to a file beside it. What is in that is fjall's to read.
fn examine<S: System>(system: &S, path: &Path, mark: &Mark<S::File>) -> Result<Examined, OpenError> {
    let directory = journal_of(system, path)?;
    if directory == path.join(JOURNAL) {
        return journal::examine(system, &directory, mark);
    }
    let examined = journal::examine_foreign(system, &directory, mark)?;
    journal::aside::cut_tail(system, path, mark, &examined)?;
    Ok(Examined { files: Vec::new(), ..examined })
}

/// Below the store's directory.
const JOURNAL: &str = "journal";
/// Beside it.
const MARK: &str = "acknowledged";

/// The directory of the journal; fjall's own, where an earlier version wrote the store and no other has written to it.
fn journal_of(system: &impl System, path: &Path) -> Result<PathBuf, OpenError> {
    let directory = path.join(JOURNAL);
    let files = journal::numbered(system, &directory).map_err(|error| at(&directory, error))?;
    Ok(if files.is_empty() { path.join("fjall") } else { directory })
}

fn at(path: &Path, error: std::io::Error) -> EngineError {
    EngineError::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
