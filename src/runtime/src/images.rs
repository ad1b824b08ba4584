//! The image store: images by name, their configurations, and their layers unpacked, all in files.
//!
//! Filled by [`Images::import`] and by pulls; read by containers. Several processes may use it at the same time: nothing
//! is kept in memory, records are replaced in one step, and locks keep removal and addition apart. Blobs are not kept: a
//! layer exists only unpacked, below `layers/`, named by its chain ID.

mod archive;
mod blob;
mod credentials;
mod document;
mod layers;
mod pull;
mod records;
pub(crate) mod reference;
pub(crate) mod unpack;

use std::fs::File;
use std::path::{Path, PathBuf};

pub(crate) use credentials::Credentials;
pub(crate) use document::ImageConfig;
pub(crate) use pull::Puller;

use self::records::Record;
use self::reference::Reference;
use crate::error::{At, Error, Result};
use crate::files;

/// The images under one runtime directory.
#[derive(Clone, Debug)]
pub struct Images {
    root: PathBuf,
}

/// One image in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `sha256:` and the digest of the image's configuration.
    pub id: String,
    /// `repository:tag` names in full form.
    pub tags: Vec<String>,
    /// `repository@sha256:…` names in full form.
    pub digests: Vec<String>,
    /// Size in bytes of configuration and layers as they came (compressed, if they came so).
    pub size: u64,
    /// The chain IDs of its layers without `sha256:`, bottom first.
    pub(crate) layers: Vec<String>,
}

impl Images {
    /// Opens (and makes, if need be) the store under the runtime directory `root`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let images = Self { root: root.as_ref().to_owned() };
        for directory in
            [images.records_dir(), images.configs_dir(), images.temporary_dir(), images.layers_dir()]
        {
            files::make_dir(&directory)?;
        }
        Ok(images)
    }

    /// Imports a docker-archive or OCI layout tar, plain or gzip; answers the names that it gave.
    ///
    /// # Errors
    /// When the file cannot be read, is neither, or its contents do not have the digests that it says.
    pub fn import(&self, archive: impl AsRef<Path>) -> Result<Vec<String>> {
        let _present = self.hold_for_adding()?;
        let archive = archive.as_ref();
        archive::import(self, archive).map_err(|e| Error::Image(format!("import {}: {e}", archive.display())))
    }

    /// Imports an archive unless the same file (by size and time of change) was imported before and its images are here.
    pub(crate) fn import_once(&self, archive: &Path) -> Result<()> {
        let metadata = std::fs::metadata(archive).at("look at", archive)?;
        let seen = records::Seen::of(archive, &metadata);
        if self.was_imported(&seen)? {
            return Ok(());
        }
        let names = self.import(archive)?;
        tracing::info!(archive = %archive.display(), ?names, "imported images");
        self.remember_import(seen, names)
    }

    /// All images.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<Image>> {
        Ok(self.records()?.into_iter().map(Image::from).collect())
    }

    /// The image of a name, digest name or ID; `None` when it is not here.
    pub(crate) fn find(&self, text: &str) -> Result<Option<Image>> {
        Ok(self.record_of(text)?.map(Image::from))
    }

    /// Removes a name, or by ID or digest the image with all its names. Answers false if there is none such.
    ///
    /// Layers go once no image and no container needs them.
    ///
    /// # Errors
    /// When the store cannot be written, or `reference` is no image name.
    pub fn remove(&self, reference: &str) -> Result<bool> {
        let removed = self.remove_record(reference)?;
        self.collect_garbage()?;
        Ok(removed)
    }

    /// The configuration of an image: what to run and as whom.
    pub(crate) fn config(&self, image: &Image) -> Result<ImageConfig> {
        let path = self.config_path(&image.id);
        files::read_json(&path)?
            .ok_or_else(|| Error::NotFound(format!("configuration of image {} is gone", image.id)))
    }

    /// The directories of an image's layers, bottom first.
    pub(crate) fn layer_dirs(&self, layers: &[String]) -> Vec<PathBuf> {
        layers.iter().map(|chain| self.layers_dir().join(chain)).collect()
    }

    /// Keeps removal from taking layers that are not recorded yet. Held while something is added or put to use.
    pub(crate) fn hold_for_adding(&self) -> Result<File> {
        let lock = self.lock_file("lock")?;
        lock.lock_shared().at("lock", self.root.join("images/lock"))?;
        Ok(lock)
    }

    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.root.join("images").join(name);
        File::options().create(true).truncate(false).write(true).open(&path).at("open", path)
    }

    fn records_dir(&self) -> PathBuf {
        self.root.join("images/records")
    }

    fn configs_dir(&self) -> PathBuf {
        self.root.join("images/configs")
    }

    pub(crate) fn temporary_dir(&self) -> PathBuf {
        self.root.join("images/tmp")
    }

    pub(crate) fn layers_dir(&self) -> PathBuf {
        self.root.join("layers")
    }

    fn config_path(&self, id: &str) -> PathBuf {
        self.configs_dir().join(format!("{}.json", hex_of(id)))
    }
}

impl From<Record> for Image {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            tags: record.tags.into_iter().collect(),
            digests: record.digests.into_iter().collect(),
            size: record.size,
            layers: record.layers,
        }
    }
}

/// The hexadecimal part of `sha256:…`.
fn hex_of(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}
