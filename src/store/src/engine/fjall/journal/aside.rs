//! What goes from the journal without being in the tables: a torn tail, or what a repair gives up. It is evidence, and
//! perhaps somebody's data, so it is kept in files beside the journal, in the store's directory, durably, before it goes.

use std::io;
use std::path::Path;

use super::{Examined, Found, read};
use crate::engine::fjall::mark::Mark;
use crate::engine::fjall::system::{File, System};
use crate::{EngineError, Revision};

/// Cuts the torn tail off a journal of fjall's own that was examined, before fjall does it and keeps nothing of it.
pub(in crate::engine::fjall) fn cut_tail<S: System>(
    system: &S,
    store: &Path,
    mark: &Mark<S::File>,
    examined: &Examined,
) -> Result<(), EngineError> {
    let Some(newest) = examined.files.last() else { return Ok(()) };
    let Some(part) = Part::damaged(newest) else { return Ok(()) };
    let marked = mark.read()?;
    if let Some(proven) = examined.proven.filter(|proven| marked < Some(*proven)) {
        // What was found is remembered before its evidence is cut off.
        mark.write(proven)?;
        mark.sync()?;
    }
    part.copy(system, store).and_then(|()| part.remove(system)).map_err(EngineError::new)
}

/// Ends the journal at its first damage or gap, acknowledged or not: what was written later builds on what is lost there,
/// and removes versions that would be the newest now. Gives the highest revision that is known of.
pub(in crate::engine::fjall) fn give_up(
    system: &impl System,
    directory: &Path,
    store: &Path,
) -> io::Result<Option<Revision>> {
    let files = read(system, directory)?;
    let mut known = None;
    let mut parts: Vec<Part> = Vec::new();
    let mut next = None;
    for file in &files {
        known = known.max(file.intact.told.newest()).max(file.behind().newest);
        let is_behind = !parts.is_empty() || next.is_some_and(|next| next != file.number);
        next = Some(file.number + 1);
        parts.extend(if is_behind { Some(Part::whole(file)) } else { Part::damaged(file) });
    }
    for part in &parts {
        part.copy(system, store)?;
    }
    // Newest first: what is left is the beginning of the journal at any moment.
    for part in parts.iter().rev() {
        part.remove(system)?;
    }
    Ok(known)
}

/// A part of the journal that goes.
struct Part<'a> {
    path: &'a Path,
    from: usize,
    bytes: &'a [u8],
    /// Whether the whole file lies behind a damage.
    is_behind: bool,
}

impl<'a> Part<'a> {
    /// What lies behind the whole batches of a file.
    fn damaged(file: &'a Found) -> Option<Self> {
        let from = file.intact.end;
        let bytes = &file.bytes[from..][..file.behind().length];
        (!bytes.is_empty()).then_some(Self { path: &file.path, from, bytes, is_behind: false })
    }

    fn whole(file: &'a Found) -> Self {
        let bytes = &file.bytes[..file.intact.end + file.behind().length];
        Self { path: &file.path, from: 0, bytes, is_behind: true }
    }

    fn copy(&self, system: &impl System, store: &Path) -> io::Result<()> {
        set_aside(system, self.path, store, self.from, self.bytes)
    }

    fn remove(&self, system: &impl System) -> io::Result<()> {
        if self.is_behind {
            system.remove(self.path)?;
            return system.sync_directory(self.path.parent().unwrap_or(Path::new(".")));
        }
        let file = system.open(self.path)?;
        file.set_len(self.from as u64)?;
        file.sync_all()
    }
}

/// Keeps what goes from a file of the journal in a file of its own, durably.
pub(super) fn set_aside(
    system: &impl System,
    path: &Path,
    store: &Path,
    from: usize,
    bytes: &[u8],
) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // An earlier one is evidence, too.
    let taken = system.names(store)?;
    let names = (0..).map(|number| format!("torn-{name}-{from}-{number}"));
    let copy = { names }.find(|name| !taken.contains(name)).expect("there is always a next number");
    let (journal, length, kept) = (path.display(), bytes.len(), store.join(copy));
    tracing::warn!(%journal, from, length, kept = %kept.display(), "setting a part of the journal aside");
    let torn = system.create_new(&kept)?;
    torn.write_all(bytes, 0)?;
    torn.sync_all()?;
    system.sync_directory(store)
}
