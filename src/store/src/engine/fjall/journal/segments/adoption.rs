//! The journal's newest file as another process left it, on its way to being ours.
//!
//! What was read from it is written into a new file and synced, from memory, since what would be read again need not be what
//! was shown. That may go on beside recovery, for the new file means nothing before it has the old one's name; it gets that
//! only when recovery has accepted what was read. So whoever opens the engine writes it, even to look or to be refused; one
//! that nobody adopts, or that could not be finished, goes again.

use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};

use super::store_of;
use crate::engine::fjall::journal::aside::set_aside;
use crate::engine::fjall::journal::{Found, batches};
use crate::engine::fjall::system::{Begun, File, System};

/// The new file, in the directory of the journal.
const ADOPTED: &str = "adopted";

pub(super) struct Adoption<S: System> {
    system: S,
    directory: PathBuf,
    new: PathBuf,
    /// The old file.
    path: PathBuf,
    /// All that was read of it.
    bytes: Bytes,
    /// The end of its whole batches.
    end: usize,
    writing: Option<Begun<io::Result<S::File>>>,
    /// Whether the new file has the old one's name.
    is_adopted: bool,
}

impl<S: System> Adoption<S> {
    /// Begins to write the new file beside what else is done. Where that cannot be, it is written when it is needed.
    pub(super) fn begin(system: S, directory: &Path, found: &Found) -> Self {
        let (path, bytes, end) = (found.path.clone(), found.bytes.clone(), found.intact.end);
        let new = directory.join(ADOPTED);
        let work = {
            let (system, new, whole) = (system.clone(), new.clone(), bytes.slice(..end));
            move || write(&system, &new, &whole)
        };
        let writing = system.begin("adopt", work);
        Self { system, directory: directory.to_owned(), new, path, bytes, end, writing, is_adopted: false }
    }

    /// Puts the new file, which is durable then, in the old one's place; what is torn is set aside.
    pub(super) fn finish(&mut self) -> io::Result<S::File> {
        let file = match self.written() {
            Some(written) => written?,
            None => write(&self.system, &self.new, &self.bytes[..self.end])?,
        };
        let torn = &self.bytes[self.end..];
        set_aside(
            &self.system,
            &self.path,
            store_of(&self.directory),
            self.end,
            &torn[..batches::filled(torn)],
        )?;
        self.system.rename(&self.new, &self.path)?;
        self.is_adopted = true;
        self.system.sync_directory(&self.directory)?;
        Ok(file)
    }

    /// What became of the writing, if it was begun.
    fn written(&mut self) -> Option<io::Result<S::File>> {
        let outcome = self.writing.take()?;
        Some(outcome().unwrap_or_else(|_| Err(io::Error::other("the thread that wrote it panicked"))))
    }
}

impl<S: System> Drop for Adoption<S> {
    fn drop(&mut self) {
        if !self.is_adopted {
            // It may still be written.
            drop(self.written());
            discard(&self.system, &self.new);
        }
    }
}

fn write<S: System>(system: &S, path: &Path, whole: &[u8]) -> io::Result<S::File> {
    // Not emptied but removed: after a power cut it may be another name of the file that was adopted before.
    remove(system, path)?;
    let written = system.create_new(path).and_then(|file| {
        file.write_all(whole, 0)?;
        file.sync_all()?;
        Ok(file)
    });
    if written.is_err() {
        // Perhaps it took the last room there was.
        discard(system, path);
    }
    written
}

/// Removes a file that nobody needs; the next adoption would do that, too.
fn discard(system: &impl System, path: &Path) {
    if let Err(error) = remove(system, path) {
        tracing::warn!(%error, path = %path.display(), "a file that nobody needs is kept");
    }
}

/// Removes a file if it is there.
fn remove(system: &impl System, path: &Path) -> io::Result<()> {
    match system.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
