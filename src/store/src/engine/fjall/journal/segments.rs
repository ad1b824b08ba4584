//! The journal that is written: numbered files, of which the newest is appended to.
//!
//! A file is filled with zeros a stretch ahead of what is written into it. Syncing bytes that were there before costs one
//! write of the disk; syncing a file that grows costs one of the file system's journal, too, and waits for whatever else
//! is in that. A finished file is synced and ends with its last batch, so that damage shows; it goes once the tables
//! have everything of it.
//!
//! What another process left is only read at first. It may be nowhere but in the kernel's memory: that process may have
//! ended before it synced, or because a sync failed, after which the kernel takes for written what is not. So with the first
//! sync or write, when recovery has accepted what was read, those very bytes, in a new file, take the old one's place
//! ([`adoption`]), and what is torn is kept beside the journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Found, encoding, file_name, numbered};
use crate::engine::Batch;
use crate::engine::fjall::system::{File, System};
use adoption::Adoption;

/// Where fjall's journals name one of several keyspaces. There is only one.
const KEYSPACE: u64 = 1;
/// A buffer that a large group has made larger than this is given back.
const BUFFER: usize = 1 << 20;

pub(in crate::engine::fjall) struct Segments<S: System> {
    system: S,
    directory: PathBuf,
    newest: Newest<S>,
    /// The newest file's number, or the one that the first will have.
    number: u64,
    /// The end of the last batch.
    end: u64,
    /// The end of the zeros.
    prepared: u64,
    /// How far ahead zeros are written, in bytes.
    stretch: u64,
    batches: u64,
    buffer: Vec<u8>,
    /// Whether it is unknown what the disk holds.
    has_failed: bool,
}

/// The newest file.
enum Newest<S: System> {
    Absent,
    /// As another process left it.
    Found(Adoption<S>),
    /// To be written to.
    Ours(Arc<S::File>),
}

impl<S: System> Segments<S> {
    /// Goes on from the newest file there is, whose journal was examined ([`super::examine`]), and changes nothing of it.
    pub(in crate::engine::fjall) fn open(
        system: S,
        directory: &Path,
        stretch: u64,
        newest: Option<&Found>,
    ) -> Self {
        let adoption = |found| Newest::Found(Adoption::begin(system.clone(), directory, found));
        let (number, end) = newest.map_or((0, 0), |found| (found.number, found.intact.end as u64));
        Self {
            newest: newest.map_or(Newest::Absent, adoption),
            system,
            directory: directory.to_owned(),
            number,
            end,
            prepared: end,
            stretch,
            batches: 0,
            buffer: Vec::new(),
            has_failed: false,
        }
    }

    /// Whether there is no file.
    pub(in crate::engine::fjall) fn is_absent(&self) -> bool {
        matches!(self.newest, Newest::Absent)
    }

    /// Writes a batch, durable or not; after an error the journal cannot be used any more.
    pub(in crate::engine::fjall) fn append(&mut self, batch: &Batch) -> io::Result<()> {
        self.attempt(|journal| journal.write(batch))
    }

    /// Makes everything durable that was shown or written.
    pub(in crate::engine::fjall) fn sync(&mut self) -> io::Result<()> {
        self.attempt(|journal| if journal.is_absent() { Ok(()) } else { journal.file()?.sync_data() })
    }

    /// Finishes the file and begins the next. Gives the finished one's number.
    pub(in crate::engine::fjall) fn next(&mut self) -> io::Result<u64> {
        self.attempt(|journal| {
            let file = journal.file()?;
            file.set_len(journal.end)?;
            file.sync_all()?;
            let finished = journal.number;
            journal.newest = Newest::Ours(journal.begin(finished + 1)?);
            journal.number = finished + 1;
            (journal.end, journal.prepared, journal.batches) = (0, 0, 0);
            Ok(finished)
        })
    }

    /// Does something unless anything has failed before: a second sync may succeed without what the first one lost.
    fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        if self.has_failed {
            return Err(io::Error::other("writing to it has failed before"));
        }
        let done = act(self);
        self.has_failed = done.is_err();
        done
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let file = self.file()?;
        encoding::append(&batch.changes, self.batches, KEYSPACE, &mut self.buffer);
        let end = self.end + self.buffer.len() as u64;
        if end > self.prepared {
            let prepared = end + self.stretch;
            fill(&*file, self.prepared, prepared)?;
            self.prepared = prepared;
        }
        file.write_all(&self.buffer, self.end)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        (self.end, self.batches) = (end, self.batches + 1);
        Ok(())
    }

    /// The file to write to, which is made or adopted when there is none.
    fn file(&mut self) -> io::Result<Arc<S::File>> {
        let file = match &mut self.newest {
            Newest::Ours(file) => return Ok(file.clone()),
            Newest::Found(adoption) => Arc::new(adoption.finish()?),
            Newest::Absent => {
                self.system.create_directory(&self.directory)?;
                self.system.sync_directory(store_of(&self.directory))?;
                self.begin(self.number)?
            }
        };
        self.newest = Newest::Ours(file.clone());
        Ok(file)
    }

    fn begin(&self, number: u64) -> io::Result<Arc<S::File>> {
        let file = self.system.create_new(&self.directory.join(file_name(number)))?;
        self.system.sync_directory(&self.directory)?;
        Ok(Arc::new(file))
    }
}

/// The directory that the journal's is in.
fn store_of(directory: &Path) -> &Path {
    directory.parent().unwrap_or(directory)
}

/// Removes the files up to a number, oldest first: what is left is the end of the journal at any moment.
pub(in crate::engine::fjall) fn remove(system: &impl System, directory: &Path, up_to: u64) -> io::Result<()> {
    for (_, path) in numbered(system, directory)?.into_iter().take_while(|(number, _)| *number <= up_to) {
        system.remove(&path)?;
        // The order has to outlive a power cut, too.
        system.sync_directory(directory)?;
    }
    Ok(())
}

fn fill(file: &impl File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let mut at = from;
    while at < to {
        let length = ZEROS.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        file.write_all(&ZEROS[..length], at)?;
        at += length as u64;
    }
    Ok(())
}

mod adoption;
