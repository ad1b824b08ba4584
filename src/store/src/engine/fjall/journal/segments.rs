//! The journal that is written: numbered files, of which the newest is appended to.
//!
//! A file is filled with zeros a stretch ahead of what is written into it. Syncing bytes that were there before costs one
//! write of the disk; syncing a file that grows costs one of the file system's journal, too, and waits for whatever else
//! is in that. A finished file is synced and ends with its last batch, so that damage shows; it goes once the tables
//! have everything of it.
//!
//! What another process left is only read at first. It may be nowhere but in the kernel's memory: that process may have
//! ended before it synced, or because a sync failed, after which the kernel takes for written what is not. So with the first
//! sync or write, when recovery has accepted what was read, those very bytes are written into a new file that takes the
//! old one's place, and what is torn is kept beside the journal.

use bytes::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aside::set_aside;
use super::{encoding, numbered, replay, sync_directory};
use crate::engine::{Batch, Change};

/// How far ahead zeros are written.
const STRETCH: u64 = 2 << 20;
/// Where fjall's journals name one of several keyspaces. There is only one.
const KEYSPACE: u64 = 1;
/// A buffer that a large group has made larger than this is given back.
const BUFFER: usize = 1 << 20;

/// A file that is to take the place of the newest; of no meaning before.
const ADOPTED: &str = "adopted";

pub(in super::super) struct Segments {
    directory: PathBuf,
    newest: Newest,
    /// The newest file's number, or the one that the first will have.
    number: u64,
    /// The end of the last batch.
    end: u64,
    /// The end of the zeros.
    prepared: u64,
    batches: u64,
    buffer: Vec<u8>,
    /// Whether it is unknown what the disk holds.
    has_failed: bool,
}

/// The newest file.
enum Newest {
    Absent,
    /// As another process left it: all its bytes.
    Found(Bytes),
    /// To be written to.
    Ours(Arc<File>),
}

impl Segments {
    /// Shows every change there is, in order, and changes nothing. The journal has been examined ([`super::examine`]).
    pub(in super::super) fn open(directory: &Path, mut apply: impl FnMut(Change)) -> io::Result<Self> {
        let (mut newest, mut number, mut end) = (Newest::Absent, 0, 0);
        for (found, path) in numbered(directory)? {
            let bytes = Bytes::from(fs::read(&path)?);
            end = replay(&bytes, &mut apply);
            (newest, number) = (Newest::Found(bytes), found);
        }
        let directory = directory.to_owned();
        let (prepared, batches, buffer) = (end, 0, Vec::new());
        Ok(Self { directory, newest, number, end, prepared, batches, buffer, has_failed: false })
    }

    /// Whether there is no file.
    pub(in super::super) fn is_absent(&self) -> bool {
        matches!(self.newest, Newest::Absent)
    }

    /// Writes a batch, durable or not; after an error the journal cannot be used any more.
    pub(in super::super) fn append(&mut self, batch: &Batch) -> io::Result<()> {
        self.attempt(|journal| journal.write(batch))
    }

    /// Makes everything durable that was shown or written.
    pub(in super::super) fn sync(&mut self) -> io::Result<()> {
        self.attempt(|journal| if journal.is_absent() { Ok(()) } else { journal.file()?.sync_data() })
    }

    /// Finishes the file and begins the next. Gives the finished one's number.
    pub(in super::super) fn next(&mut self) -> io::Result<u64> {
        self.attempt(|journal| {
            let file = journal.file()?;
            file.set_len(journal.end)?;
            file.sync_all()?;
            let finished = journal.number;
            journal.newest = Newest::Ours(begin(&journal.directory, finished + 1)?);
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
            let prepared = end + STRETCH;
            fill(&file, self.prepared, prepared)?;
            self.prepared = prepared;
        }
        file.write_all_at(&self.buffer, self.end)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        (self.end, self.batches) = (end, self.batches + 1);
        Ok(())
    }

    /// The file to write to, which is made or adopted when there is none.
    fn file(&mut self) -> io::Result<Arc<File>> {
        let file = match &self.newest {
            Newest::Ours(file) => return Ok(file.clone()),
            Newest::Found(bytes) => self.adopt(bytes)?,
            Newest::Absent => {
                fs::create_dir_all(&self.directory)?;
                sync_directory(self.aside())?;
                begin(&self.directory, self.number)?
            }
        };
        self.newest = Newest::Ours(file.clone());
        Ok(file)
    }

    /// Writes what was found anew; from memory, since what would be read again need not be what was shown.
    fn adopt(&self, found: &[u8]) -> io::Result<Arc<File>> {
        let path = self.directory.join(format!("{}.jnl", self.number));
        let end = usize::try_from(self.end).expect("it was read into memory");
        let (whole, torn) = found.split_at(end);
        let length = torn.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        set_aside(&path, self.aside(), self.end, &torn[..length])?;
        let adopted = self.directory.join(ADOPTED);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&adopted)?;
        file.write_all_at(whole, 0)?;
        file.sync_all()?;
        fs::rename(adopted, path)?;
        sync_directory(&self.directory)?;
        Ok(Arc::new(file))
    }

    /// The directory that the journal's is in.
    fn aside(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }
}

fn begin(directory: &Path, number: u64) -> io::Result<Arc<File>> {
    let path = directory.join(format!("{number}.jnl"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    sync_directory(directory)?;
    Ok(Arc::new(file))
}

/// Removes the files up to a number, oldest first: what is left is the end of the journal at any moment.
pub(in super::super) fn remove(directory: &Path, up_to: u64) -> io::Result<()> {
    for (_, path) in numbered(directory)?.into_iter().take_while(|(number, _)| *number <= up_to) {
        fs::remove_file(path)?;
        // The order has to outlive a power cut, too.
        sync_directory(directory)?;
    }
    Ok(())
}

fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let mut at = from;
    while at < to {
        let length = ZEROS.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        file.write_all_at(&ZEROS[..length], at)?;
        at += length as u64;
    }
    Ok(())
}
