//! Which images there are: a JSON file each, found by scanning (a node has tens of images, not thousands).

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::TryLockError;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::reference::is_digest;
use super::{Images, Reference, hex_of};
use crate::error::{At, Result};
use crate::files;

/// What is written about an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) tags: BTreeSet<String>,
    pub(super) digests: BTreeSet<String>,
    pub(super) size: u64,
    pub(super) layers: Vec<String>,
}

/// An image whose layers are in place, to be recorded.
pub(super) struct NewImage {
    pub(super) id: String,
    pub(super) config: Vec<u8>,
    pub(super) size: u64,
    pub(super) layers: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) digests: Vec<String>,
}

/// An archive file as it was when it was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    path: String,
    size: u64,
    changed_ns: i64,
}

impl Seen {
    pub(super) fn of(path: &Path, metadata: &std::fs::Metadata) -> Self {
        let changed_ns = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        Self { path: path.to_string_lossy().into_owned(), size: metadata.len(), changed_ns }
    }
}

impl Images {
    pub(super) fn records(&self) -> Result<Vec<Record>> {
        let directory = self.records_dir();
        let mut records = Vec::new();
        for name in files::names_in(&directory)?.iter().filter(|name| name.ends_with(".json")) {
            // A record that another process removed just now is not an error.
            records.extend(files::read_json::<Record>(&directory.join(name))?);
        }
        records.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(records)
    }

    pub(super) fn record_of(&self, text: &str) -> Result<Option<Record>> {
        Ok(match Wanted::parse(text)? {
            Wanted::Id(id) => files::read_json(&self.record_path(&id))?,
            Wanted::Name(name) => {
                self.records()?.into_iter().find(|r| r.tags.contains(&name) || r.digests.contains(&name))
            }
        })
    }

    /// Adds an image or more names for one that is here; a tag that another image had moves over.
    pub(super) fn record(&self, new: NewImage) -> Result<()> {
        super::unpack::sync_file_system(&self.layers_dir())?;
        let _alone = self.lock_records()?;
        for mut other in self.records()?.into_iter().filter(|other| other.id != new.id) {
            let before = other.tags.len();
            other.tags.retain(|tag| !new.tags.contains(tag));
            if other.tags.len() != before {
                self.write_record(&other)?;
            }
        }
        files::write_atomically(&self.config_path(&new.id), &new.config)?;
        let mut record = files::read_json(&self.record_path(&new.id))?.unwrap_or_else(|| Record {
            id: new.id.clone(),
            tags: BTreeSet::new(),
            digests: BTreeSet::new(),
            size: new.size,
            layers: new.layers.clone(),
        });
        record.tags.extend(new.tags);
        record.digests.extend(new.digests);
        self.write_record(&record)
    }

    /// Removes one tag while others are left, else the image. Answers whether there was anything.
    pub(super) fn remove_record(&self, text: &str) -> Result<bool> {
        let _alone = self.lock_records()?;
        let Some(mut record) = self.record_of(text)? else { return Ok(false) };
        if let Wanted::Name(name) = Wanted::parse(text)?
            && record.tags.len() > 1
            && record.tags.remove(&name)
        {
            self.write_record(&record)?;
        } else {
            files::remove_file(&self.record_path(&record.id))?;
        }
        Ok(true)
    }

    /// Removes configurations, layers and temporary files that nothing needs. Leaves it to a later call when something
    /// is being added right now.
    pub(crate) fn collect_garbage(&self) -> Result<()> {
        let lock = self.lock_file("lock")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(e)) => return Err(e).at("lock", self.root.join("images/lock")),
        }
        let records = self.records()?;
        let configs: HashSet<String> = records.iter().map(|r| format!("{}.json", hex_of(&r.id))).collect();
        let mut layers: HashSet<String> = records.into_iter().flat_map(|r| r.layers).collect();
        layers.extend(crate::container::layers_in_use(&self.root)?);
        remove_others(&self.configs_dir(), &configs)?;
        remove_others(&self.layers_dir(), &layers)?;
        remove_others(&self.temporary_dir(), &HashSet::new())
    }

    pub(super) fn was_imported(&self, seen: &Seen) -> Result<bool> {
        let Some((before, names)) = self.imports()?.remove(&seen.path) else { return Ok(false) };
        if before != *seen {
            return Ok(false);
        }
        for name in names {
            if self.record_of(&name)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn remember_import(&self, seen: Seen, names: Vec<String>) -> Result<()> {
        let _alone = self.lock_records()?;
        let mut imports = self.imports()?;
        imports.insert(seen.path.clone(), (seen, names));
        files::write_json(&self.root.join("images/imports.json"), &imports)
    }

    fn imports(&self) -> Result<BTreeMap<String, (Seen, Vec<String>)>> {
        Ok(files::read_json(&self.root.join("images/imports.json"))?.unwrap_or_default())
    }

    fn lock_records(&self) -> Result<std::fs::File> {
        let lock = self.lock_file("records.lock")?;
        lock.lock().at("lock", self.root.join("images/records.lock"))?;
        Ok(lock)
    }

    fn write_record(&self, record: &Record) -> Result<()> {
        files::write_json(&self.record_path(&record.id), record)
    }

    fn record_path(&self, id: &str) -> std::path::PathBuf {
        self.records_dir().join(format!("{}.json", hex_of(id)))
    }
}

/// What a caller means by a text: an image ID or a name.
enum Wanted {
    Id(String),
    Name(String),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self> {
        if is_digest(text) {
            return Ok(Self::Id(text.to_owned()));
        }
        if is_digest(&format!("sha256:{text}")) {
            return Ok(Self::Id(format!("sha256:{text}")));
        }
        Ok(Self::Name(Reference::parse(text)?.to_string()))
    }
}

fn remove_others(directory: &Path, keep: &HashSet<String>) -> Result<()> {
    for name in files::names_in(directory)? {
        if keep.contains(&name) {
            continue;
        }
        let path = directory.join(name);
        if path.is_dir() { files::remove_tree(&path)? } else { files::remove_file(&path)? }
    }
    Ok(())
}
