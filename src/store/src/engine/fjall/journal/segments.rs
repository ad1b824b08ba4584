//! The journal that is written: numbered files, of which the newest is appended to.
//!
//! A file is filled with zeros a stretch ahead of what is written into it. Syncing bytes that were there before costs one
//! write of the disk; syncing a file that grows costs one of the file system's journal, too, and waits for whatever else
//! is in that. A finished file is synced and ends with its last batch, so that damage shows; it goes once the tables
//! have everything of it.

use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{encoding, numbered, replay};
use crate::engine::{Batch, Change};

/// How far ahead zeros are written.
const STRETCH: u64 = 2 << 20;
/// Where fjall's journals name one of several keyspaces. There is only one.
const KEYSPACE: u64 = 1;
/// A buffer that a large group has made larger than this is given back.
const BUFFER: usize = 1 << 20;

pub(in super::super) struct Segments {
    directory: PathBuf,
    number: u64,
    file: File,
    /// The end of the last batch.
    end: u64,
    /// The end of the zeros.
    prepared: u64,
    batches: u64,
    buffer: Vec<u8>,
}

impl Segments {
    /// Shows every change there is, in order, and goes on behind the last one. What is torn has been cut off before
    /// ([`super::examine`]).
    pub(in super::super) fn open(directory: &Path, mut apply: impl FnMut(Change)) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut newest = None;
        for (number, path) in numbered(directory)? {
            let bytes = Bytes::from(std::fs::read(&path)?);
            let end = replay(&bytes, &mut apply);
            newest = Some((number, path, end));
        }
        let Some((number, path, end)) = newest else { return Self::begin(directory, 0) };
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let prepared = file.metadata()?.len();
        let directory = directory.to_owned();
        Ok(Self { directory, number, file, end, prepared, batches: 0, buffer: Vec::new() })
    }

    fn begin(directory: &Path, number: u64) -> io::Result<Self> {
        let path = directory.join(format!("{number}.jnl"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        File::open(directory)?.sync_all()?;
        let directory = directory.to_owned();
        Ok(Self { directory, number, file, end: 0, prepared: 0, batches: 0, buffer: Vec::new() })
    }

    /// Writes a batch, durable or not; after an error the journal cannot be used any more.
    pub(in super::super) fn append(&mut self, batch: &Batch) -> io::Result<()> {
        encoding::append(&batch.changes, self.batches, KEYSPACE, &mut self.buffer);
        let end = self.end + self.buffer.len() as u64;
        if end > self.prepared {
            let prepared = end + STRETCH;
            fill(&self.file, self.prepared, prepared)?;
            self.prepared = prepared;
        }
        self.file.write_all_at(&self.buffer, self.end)?;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        (self.end, self.batches) = (end, self.batches + 1);
        Ok(())
    }

    pub(in super::super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Finishes the file and begins the next. Gives the finished one's number.
    pub(in super::super) fn next(&mut self) -> io::Result<u64> {
        self.file.set_len(self.end)?;
        self.file.sync_all()?;
        let next = Self::begin(&self.directory, self.number + 1)?;
        let finished = std::mem::replace(self, next);
        Ok(finished.number)
    }
}

/// Removes the files up to a number, oldest first: what is left is the end of the journal at any moment.
pub(in super::super) fn remove(directory: &Path, up_to: u64) -> io::Result<()> {
    for (_, path) in numbered(directory)?.into_iter().take_while(|(number, _)| *number <= up_to) {
        std::fs::remove_file(path)?;
        // The order has to outlive a power cut, too.
        File::open(directory)?.sync_all()?;
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
