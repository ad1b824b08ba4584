//! Images from registries (OCI distribution).
//!
//! A pull resolves the name to a manifest ([`registry`]), downloads what is missing (a few layers at a time, into files that
//! go afterwards), unpacks in order and records the image. What went wrong becomes a sentence for the user ([`failure`]).
//! Retries are the kubelet's business.

mod declared;
mod failure;
mod registry;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::{StreamExt, TryStreamExt};

use self::failure::Failure;
use self::registry::Registry;
use super::document::{Descriptor, ImageConfig};
use super::records::NewImage;
use super::unpack::Bounds;
use super::{Credentials, Images, Reference, blob, layers};
use crate::error::{At, Error, Result};
use crate::files;

const DOWNLOADS_AT_ONCE: usize = 3;
/// Overlayfs takes no more lower directories.
const LAYERS_LIMIT: usize = 500;

/// Pulls images into a store.
pub(crate) struct Puller {
    images: Images,
    plain_http: Vec<String>,
    /// One pull per name at a time: the second finds everything there.
    running: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Puller {
    pub(crate) fn new(images: Images, plain_http: Vec<String>) -> Self {
        Self { images, plain_http, running: Mutex::default() }
    }

    /// Pulls the image that `name` names now; answers its ID.
    pub(crate) async fn pull(&self, name: &str, credentials: &Credentials) -> Result<String> {
        let reference = Reference::parse(name)?;
        let key = reference.to_string();
        let turn =
            Arc::clone(self.running.lock().expect("no panic while held").entry(key.clone()).or_default());
        let pulled = {
            let _mine = turn.lock().await;
            self.pull_reference(&reference, credentials).await
        };
        self.forget(&key, &turn);
        pulled.map_err(|failure| failure.describe(&reference))
    }

    /// Drops the turn of a name when nobody else waits for it.
    fn forget(&self, key: &str, turn: &Arc<tokio::sync::Mutex<()>>) {
        let mut running = self.running.lock().expect("no panic while held");
        // One count is the map's and one is ours.
        if Arc::strong_count(turn) == 2 {
            running.remove(key);
        }
    }

    async fn pull_reference(
        &self,
        reference: &Reference,
        credentials: &Credentials,
    ) -> Result<String, Failure> {
        let images = self.images.clone();
        let _present = blocking(move || images.hold_for_adding()).await?;
        let registry = Registry::open(reference, self.is_plain_http(reference), credentials)?;
        let (manifest, digest) = registry.manifest().await?;
        let config_descriptor =
            manifest.config.ok_or_else(|| Error::Image("manifest without configuration".into()))?;
        let config = registry.document(&config_descriptor).await?;
        let parsed: ImageConfig = serde_json::from_slice(&config)
            .map_err(|source| Error::Malformed { path: PathBuf::from(&config_descriptor.digest), source })?;
        let diff_ids = parsed.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(
                Error::Image("configuration and manifest differ in the number of layers".into()).into()
            );
        }

        if diff_ids.len() > LAYERS_LIMIT {
            return Err(
                Error::Image(format!("{} layers; at most {LAYERS_LIMIT} are taken", diff_ids.len())).into()
            );
        }
        let layers = self.fetch_layers(&registry, &manifest.layers, diff_ids).await?;
        let new = NewImage {
            id: config_descriptor.digest.clone(),
            size: manifest
                .layers
                .iter()
                .fold(config_descriptor.size, |sum, layer| sum.saturating_add(layer.size)),
            config,
            layers,
            tags: reference.tagged().into_iter().collect(),
            digests: vec![reference.with_digest(&digest)],
        };
        let images = self.images.clone();
        blocking(move || images.record(new)).await?;
        Ok(config_descriptor.digest)
    }

    /// Downloads the layers that are missing and puts them in place; answers the chain IDs.
    async fn fetch_layers(
        &self,
        registry: &Registry,
        descriptors: &[Descriptor],
        diff_ids: Vec<String>,
    ) -> Result<Vec<String>, Failure> {
        let missing = self.missing(&diff_ids);
        let mut downloads = futures::stream::iter(descriptors.iter().cloned().zip(missing))
            .map(|(descriptor, is_missing)| self.download(registry, descriptor, is_missing))
            .buffered(DOWNLOADS_AT_ONCE);
        let mut chains: Vec<String> = Vec::new();
        for diff_id in diff_ids {
            let file = downloads.try_next().await?.expect("as many downloads as layers");
            let (images, below) = (self.images.clone(), chains.clone());
            let chain = blocking(move || {
                images.ensure_layer(&below, &diff_id, || {
                    let file = file.ok_or_else(|| Error::Image("a layer was removed meanwhile".into()))?;
                    let stream = std::fs::File::open(&file.0).at("open", &file.0)?;
                    blob::decompress(stream).at("read", &file.0)
                })
            })
            .await?;
            chains.push(chain);
        }
        Ok(chains)
    }

    fn missing(&self, diff_ids: &[String]) -> Vec<bool> {
        let mut below: Option<String> = None;
        let mut missing = Vec::new();
        for diff_id in diff_ids {
            let chain = layers::chain_id(below.as_deref(), diff_id);
            missing.push(!self.images.has_layer(&chain));
            below = Some(chain);
        }
        missing
    }

    async fn download(
        &self,
        registry: &Registry,
        descriptor: Descriptor,
        is_missing: bool,
    ) -> Result<Option<Temporary>, Failure> {
        if !is_missing {
            return Ok(None);
        }
        let directory = self.images.temporary_dir();
        Bounds::of(&directory)?.take_entry(descriptor.size)?;
        let temporary = Temporary(directory.join(files::random_id()));
        let file = tokio::fs::File::create(&temporary.0).await.at("create", &temporary.0)?;
        registry.blob(&descriptor, file).await?;
        Ok(Some(temporary))
    }

    fn is_plain_http(&self, reference: &Reference) -> bool {
        reference.is_loopback() || self.plain_http.contains(&reference.registry)
    }
}

/// A downloaded blob; its file goes with it.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(e) = files::remove_file(&self.0) {
            tracing::warn!(error = %e, "left a temporary file");
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Image(format!("unpacking stopped: {e}")))?
}
