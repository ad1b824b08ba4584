//! What the engine asks of the operating system, files and threads, and the one there is.
//!
//! The journal, the parts of it that are set aside and the mark do all they do through [`System`], so that a simulation can
//! put another one under them (`simulation/disk.rs`), which forgets what was not synced and has no threads. Files are as in
//! `std::fs`, whose calls these are; nothing here knows what is in them. fjall has its own way to the disk.

use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::thread::{self, JoinHandle};

/// An operating system.
pub(crate) trait System: Clone + Send + Sync + 'static {
    type File: File;

    /// What is in a directory; nothing where there is none.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// All bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Makes a file; fails where there is one.
    fn create_new(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file that is there.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file, which is made if it is not there, for this process alone; `None` when another one has it.
    fn lock(&self, path: &Path) -> io::Result<Option<Self::File>>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory, with those that it is in, unless it is there.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes durable what is there in a directory and what is not, by name.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Bytes that a directory takes, with everything below it.
    fn allocated(&self, directory: &Path) -> io::Result<u64>;

    /// Does something beside everything else, until it is told to end; `None` where one thing is done after the other, and
    /// this not at all.
    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Option<JoinHandle<()>>>;

    /// Begins something that comes to its end by itself; `None` where that cannot be, and whoever needs it has to do it.
    fn begin<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Begun<T>>;
}

/// Waits for what was begun; fails when it panicked.
pub(crate) type Begun<T> = Box<dyn FnOnce() -> thread::Result<T> + Send>;

/// An open file.
pub(crate) trait File: Send + Sync + 'static {
    fn read_exact(&self, bytes: &mut [u8], at: u64) -> io::Result<()>;

    fn write_all(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes the bytes durable, and the length where they would not be found without it.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes everything about the file durable but its name.
    fn sync_all(&self) -> io::Result<()>;
}

/// The one that this process runs on.
#[derive(Clone, Copy)]
pub(super) struct Native;

impl System for Native {
    type File = fs::File;

    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let files = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files?,
        };
        files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn create_new(&self, path: &Path) -> io::Result<fs::File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<fs::File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<fs::File>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    /// As the file system counts: journals are sparse, so their lengths would not tell.
    fn allocated(&self, directory: &Path) -> io::Result<u64> {
        let mut sum = 0;
        for file in fs::read_dir(directory)? {
            let file = file?;
            sum += match file.metadata() {
                Ok(metadata) if metadata.is_dir() => self.allocated(&file.path())?,
                Ok(metadata) => metadata.blocks() * 512,
                // Tables and journals go while we look.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }
        Ok(sum)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Option<JoinHandle<()>>> {
        thread::Builder::new().name(name.to_owned()).spawn(work).map(Some)
    }

    fn begin<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Begun<T>> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work).ok()?;
        Some(Box::new(move || thread.join()))
    }
}

impl File for fs::File {
    fn read_exact(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn write_all(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        Self::sync_all(self)
    }
}
