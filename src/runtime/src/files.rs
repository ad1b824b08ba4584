//! State on disk: JSON documents that are replaced in one step, and names for new things. Knows no meanings.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{At, Error, Result};

/// A new random identifier of 64 hexadecimal digits, the form that CRI clients expect.
pub(crate) fn random_id() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// Makes a directory and its parents, closed to everyone but root.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).at("create", path)
}

/// Puts `bytes` at `path` so that a reader sees either what was there before or all of it.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().expect("state files have names").to_owned();
    name.push(format!(".{}.tmp", hex::encode(rand::random::<[u8; 4]>())));
    let temporary = path.with_file_name(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary))).at("write", path)
}

/// Writes `value` as JSON, as [`write_atomically`] does.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes =
        serde_json::to_vec(value).map_err(|source| Error::Malformed { path: path.to_owned(), source })?;
    write_atomically(path, &bytes)
}

/// Reads a JSON document; `None` when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Malformed { path: path.to_owned(), source }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).at("read", path),
    }
}

/// Reads a short text file; `None` when there is no such file.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).at("read", path),
    }
}

/// Removes a file; that it is not there is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).at("remove", path),
        _ => Ok(()),
    }
}

/// Removes a directory with all it holds; that it is not there is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e).at("remove", path),
        _ => Ok(()),
    }
}

/// The names in a directory; none when it is not there.
pub(crate) fn names_in(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).at("list", path),
    };
    entries.map(|entry| Ok(entry.at("list", path)?.file_name().to_string_lossy().into_owned())).collect()
}
