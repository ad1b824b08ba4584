//! The engine's journal: what was written and is not in the tables yet. Here it is read and examined before anything of it
//! is believed; how it is written is in [`segments`].
//!
//! A crash may leave a torn batch at the journal's end: nobody was told of it, and it has to go. A damaged batch with
//! more behind it is a different matter: what is behind was acknowledged. So the batches are walked, the bytes behind a
//! damage are searched for log records, and from those it is decided: every log record proves that everything before its
//! own batch was durable. In a file that has a successor nothing may be damaged at all.
//!
//! Each file is read once, and what was examined is what is replayed. Looking changes nothing, so that a refusal leaves
//! every byte as it was; a torn tail is set [`aside`] when the journal is adopted ([`segments`]). The layout is that of
//! fjall 3's own journals, in which earlier versions of this engine kept what they wrote; a test writes with the real fjall
//! to see that it still is.

use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};

use super::mark::Mark;
use super::system::System;
use crate::engine::Change;
use crate::{EngineError, OpenError, Revision};
use batches::{Behind, Intact, Told};

/// What a journal tells of the store.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// The highest revision that is known of.
    pub(super) known: Option<Revision>,
    /// The highest revision that what lies behind the whole batches proves to have been durable.
    pub(super) proven: Option<Revision>,
    /// What it consists of, oldest first; of a journal that others replay, the newest file.
    pub(super) files: Vec<Found>,
}

/// A file of the journal as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: Bytes,
    pub(super) intact: Intact,
}

impl Found {
    fn read(system: &impl System, (number, path): (u64, PathBuf)) -> io::Result<Self> {
        let bytes = Bytes::from(system.read(&path)?);
        let intact = Intact::walk(&bytes);
        Ok(Self { number, path, bytes, intact })
    }

    /// Shows the changes of its whole batches, batch by batch.
    pub(super) fn replay(&self, apply: impl FnMut(Vec<Change>)) {
        batches::replay(&self.bytes, self.intact, apply);
    }

    fn behind(&self) -> Behind {
        Behind::search(&self.bytes[self.intact.end..])
    }

    fn damage(&self) -> String {
        format!("its journal {} is damaged at byte {}", self.path.display(), self.intact.end)
    }

    /// What a file tells that has a successor: it was complete when that was begun.
    fn told_when_finished(&self) -> Result<Told, OpenError> {
        let (told, behind) = (self.intact.told, self.behind());
        if behind.length == 0 {
            return Ok(told);
        }
        let evidence = self.damage();
        Err(match (told.newest(), behind.newest) {
            (recovered, Some(acknowledged)) if recovered.is_none_or(|recovered| recovered < acknowledged) => {
                OpenError::Lost { recovered: recovered.unwrap_or_default(), acknowledged, evidence }
            }
            _ => OpenError::Damaged(evidence),
        })
    }
}

/// Looks at the journal in `directory` and changes nothing. Where not even a whole batch says how far the store came, what
/// is proven has to be compared with what the tables hold.
pub(super) fn examine<S: System>(
    system: &S,
    directory: &Path,
    mark: &Mark<S::File>,
) -> Result<Examined, OpenError> {
    let mut finished = Vec::new();
    let mut examined = examine_one_by_one(system, directory, mark, |file| finished.push(file))?;
    finished.append(&mut examined.files);
    Ok(Examined { files: finished, ..examined })
}

/// The same of a journal that others replay: of its files, of which there may be hundreds of megabytes, only the newest is
/// kept.
pub(super) fn examine_foreign<S: System>(
    system: &S,
    directory: &Path,
    mark: &Mark<S::File>,
) -> Result<Examined, OpenError> {
    examine_one_by_one(system, directory, mark, drop)
}

/// Gives the newest file, and shows those before it, oldest first.
fn examine_one_by_one<S: System>(
    system: &S,
    directory: &Path,
    mark: &Mark<S::File>,
    mut show: impl FnMut(Found),
) -> Result<Examined, OpenError> {
    let mut numbered = numbered(system, directory).map_err(EngineError::new)?;
    check_dense(&numbered)?;
    let Some(newest) = numbered.pop() else {
        return Ok(Examined { known: mark.read()?, ..Examined::default() });
    };
    let mut told = Told::default();
    for file in numbered {
        let file = Found::read(system, file).map_err(EngineError::new)?;
        told.add(file.told_when_finished()?);
        show(file);
    }
    let newest = Found::read(system, newest).map_err(EngineError::new)?;
    told.add(newest.intact.told);
    let proven = newest.behind().proven;
    let durable = mark.read()?.max(proven);
    // A journal that logs nothing was begun after the newest write, of which the tables know.
    let recovered = told.logged.max(told.logged.and(told.horizon));
    if let (Some(recovered), Some(acknowledged)) = (recovered, durable)
        && acknowledged > recovered
    {
        return Err(OpenError::Lost { recovered, acknowledged, evidence: newest.damage() });
    }
    Ok(Examined { known: told.newest().max(durable), proven, files: vec![newest] })
}

/// The journal as it is, whole or not; nothing where there is no directory.
pub(super) fn read(system: &impl System, directory: &Path) -> io::Result<Vec<Found>> {
    numbered(system, directory)?.into_iter().map(|file| Found::read(system, file)).collect()
}

/// Files go oldest first, so that none is missing between two others.
fn check_dense(files: &[(u64, PathBuf)]) -> Result<(), OpenError> {
    for pair in files.windows(2) {
        let [(before, path), (after, _)] = pair else { continue };
        if before + 1 != *after {
            let missing = path.with_file_name(file_name(before + 1));
            return Err(OpenError::Damaged(format!("its journal {} is missing", missing.display())));
        }
    }
    Ok(())
}

/// The journal's files, oldest first; none where there is no directory.
pub(super) fn numbered(system: &impl System, directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let names = system.names(directory)?;
    let numbers = names.iter().filter_map(|name| Some((name.strip_suffix(".jnl")?.parse().ok()?, name)));
    let mut found: Vec<_> = numbers.map(|(number, name)| (number, directory.join(name))).collect();
    found.sort();
    Ok(found)
}

fn file_name(number: u64) -> String {
    format!("{number}.jnl")
}

pub(super) mod aside;
pub(super) mod batches;
pub(super) mod encoding;
pub(super) mod segments;
#[cfg(test)]
mod tests;
