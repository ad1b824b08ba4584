//! What goes from the journal without being in the tables: a torn tail, or what a repair gives up. It is evidence, and
//! perhaps somebody's data, so it is kept in files beside the journal, durably, before it goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::mark::Mark;
use super::{Examined, numbered, search, sync_directory, walk};
use crate::{EngineError, Revision};

/// Cuts the torn tail off a journal of fjall's own that was examined, before fjall does it and keeps nothing of it.
pub(in super::super) fn cut_tail(
    directory: &Path,
    aside: &Path,
    mark: &Mark,
    examined: Examined,
) -> Result<(), EngineError> {
    let Some((_, path)) = numbered(directory).map_err(EngineError::new)?.pop() else { return Ok(()) };
    let from = walk(&path).map_err(EngineError::new)?.end;
    let length = search(&path, from).map_err(EngineError::new)?.end;
    if length == 0 {
        return Ok(());
    }
    let marked = mark.read()?;
    if let Some(proven) = examined.proven.filter(|proven| marked < Some(*proven)) {
        // What was found is remembered before its evidence is cut off.
        mark.write(proven)?;
        mark.sync()?;
    }
    let part = Part { path, from, length, is_behind: false };
    part.copy(aside).and_then(|()| part.remove()).map_err(EngineError::new)
}

/// Ends the journal at its first damage or gap, acknowledged or not: what was written later builds on what is lost there,
/// and removes versions that would be the newest now. Gives the highest revision that is known of.
pub(in super::super) fn give_up(directory: &Path, aside: &Path) -> io::Result<Option<Revision>> {
    let mut known = None;
    let mut parts: Vec<Part> = Vec::new();
    let mut next = None;
    for (number, path) in numbered(directory)? {
        let intact = walk(&path)?;
        let behind = search(&path, intact.end)?;
        known = known.max(intact.told.newest()).max(behind.newest);
        let is_behind = !parts.is_empty() || next.is_some_and(|next| next != number);
        next = Some(number + 1);
        if is_behind {
            parts.push(Part { path, from: 0, length: intact.end + behind.end, is_behind });
        } else if behind.end > 0 {
            parts.push(Part { path, from: intact.end, length: behind.end, is_behind });
        }
    }
    for part in &parts {
        part.copy(aside)?;
    }
    // Newest first: what is left is the beginning of the journal at any moment.
    for part in parts.iter().rev() {
        part.remove()?;
    }
    Ok(known)
}

/// A part of the journal that goes.
struct Part {
    path: PathBuf,
    from: u64,
    length: u64,
    /// Whether the whole file lies behind a damage.
    is_behind: bool,
}

impl Part {
    fn copy(&self, aside: &Path) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut bytes = Vec::new();
        file.take(self.length).read_to_end(&mut bytes)?;
        set_aside(&self.path, aside, self.from, &bytes)
    }

    fn remove(&self) -> io::Result<()> {
        if self.is_behind {
            fs::remove_file(&self.path)?;
            return sync_directory(self.path.parent().unwrap_or(Path::new(".")));
        }
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.from)?;
        file.sync_all()
    }
}

/// Keeps what goes from a file of the journal in a file of its own, durably.
pub(super) fn set_aside(path: &Path, aside: &Path, from: u64, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // An earlier one is evidence, too.
    let names = (0..).map(|number| aside.join(format!("torn-{name}-{from}-{number}")));
    let copy = { names }.find(|path| !path.exists()).expect("there is always a next number");
    let length = bytes.len();
    let (journal, kept) = (path.display(), copy.display());
    tracing::warn!(%journal, from, length, %kept, "setting a part of the journal aside");
    let mut torn = File::create(&copy)?;
    torn.write_all(bytes)?;
    torn.sync_all()?;
    sync_directory(aside)
}
