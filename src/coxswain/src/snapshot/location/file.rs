//! Snapshots as files: written under another name, synced, then linked to their own, which fails where something is.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use store::snapshot::Header;

use super::{Found, is_named_so};

/// In the names of files that are being written, before the process that does it.
const PARTIAL: &str = ".partial-";

/// A file that is being written.
pub(crate) struct Sink {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
}

impl Sink {
    /// Readable by its owner only: a snapshot holds every secret of the cluster.
    pub(super) fn create(target: &Path) -> anyhow::Result<Self> {
        ensure!(!target.exists(), "it exists already: give another name, or remove it first");
        let name = target.file_name().context("it has no file name")?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!("{PARTIAL}{}", std::process::id()));
        let temporary = target.with_file_name(temporary);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { file, temporary, target: target.to_owned() })
    }

    pub(super) fn commit(&self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::hard_link(&self.temporary, &self.target)?;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.temporary) {
            tracing::warn!(path = %self.temporary.display(), %error, "cannot remove a temporary file");
        }
    }
}

/// The files in a folder that were begun under a name with this prefix and not finished.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn unfinished(folder: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_begun = name.strip_prefix('.').is_some_and(|name| name.starts_with(prefix));
        if is_begun && name.contains(PARTIAL) {
            found.push(path);
        }
    }
    Ok(found)
}

pub(super) fn open(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        bail!("it is a directory: `snapshot ls` shows the snapshots in it");
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

pub(super) fn list(path: &Path) -> anyhow::Result<Vec<Found>> {
    if !path.metadata()?.is_dir() {
        return Ok(vec![found(path)?]);
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| is_named_so(name) && !name.starts_with('.'))
        {
            all.push(found(&path)?);
        }
    }
    Ok(all)
}

fn found(path: &Path) -> anyhow::Result<Found> {
    let mut file = File::open(path)?;
    Ok(Found {
        name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        bytes: file.metadata()?.len(),
        header: Header::read(&mut file).map_err(|error| error.to_string()),
    })
}
