//! Images from registries (OCI distribution, by `oci-client`).
//!
//! A pull resolves the name to a manifest, downloads what is missing (a few layers at a time, into files that go
//! afterwards), unpacks in order and records the image. Retries are the kubelet's business.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use oci_client::Client;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
};
use oci_client::secrets::RegistryAuth;
use tokio::io::AsyncWrite;

use super::declared::Declared;
use super::document::{Descriptor, ImageConfig, ManifestOrIndex, Platform, architecture};
use super::records::NewImage;
use super::{Credentials, Images, Reference, blob, layers};
use crate::error::{At, Error, Result};
use crate::files;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a registry may say nothing in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const DOWNLOADS_AT_ONCE: usize = 3;
/// The largest manifest, index or configuration; registries take no larger manifests.
const DOCUMENT_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
const MANIFEST_TYPES: [&str; 4] = [
    OCI_IMAGE_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

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
        pulled.map_err(|e| describe(&reference, e))
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
    ) -> Result<String, PullError> {
        let images = self.images.clone();
        let _present = blocking(move || images.hold_for_adding()).await?;
        let registry = Registry::open(reference, self.protocol(reference), credentials)?;
        let (manifest, digest) = registry.manifest().await.map_err(PullError::Resolve)?;
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
    ) -> Result<Vec<String>, PullError> {
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
    ) -> Result<Option<Temporary>, PullError> {
        if !is_missing {
            return Ok(None);
        }
        let temporary = Temporary(self.images.temporary_dir().join(files::random_id()));
        let file = tokio::fs::File::create(&temporary.0).await.at("create", &temporary.0)?;
        registry.blob(&descriptor, file).await?;
        Ok(Some(temporary))
    }

    fn protocol(&self, reference: &Reference) -> ClientProtocol {
        if reference.is_loopback() || self.plain_http.contains(&reference.registry) {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        }
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

/// A connection for one image of one registry, with the credentials of one pull: they must not serve another's.
struct Registry {
    client: Client,
    image: oci_client::Reference,
    auth: RegistryAuth,
}

impl Registry {
    fn open(reference: &Reference, protocol: ClientProtocol, credentials: &Credentials) -> Result<Self> {
        install_crypto_provider();
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("coxswain/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client =
            Client::try_from(config).map_err(|e| Error::Image(format!("registry client: {}", chain(&e))))?;
        let (registry, repository) = (reference.registry.clone(), reference.repository.clone());
        let image = match (&reference.digest, &reference.tag) {
            (Some(digest), _) => oci_client::Reference::with_digest(registry, repository, digest.clone()),
            (None, tag) => oci_client::Reference::with_tag(
                registry,
                repository,
                tag.clone().unwrap_or_else(|| "latest".into()),
            ),
        };
        Ok(Self { client, image, auth: credentials.to_auth()? })
    }

    /// The manifest for this machine, and the digest of what the name stands for (manifest or index).
    async fn manifest(&self) -> Result<(ManifestOrIndex, String), OciDistributionError> {
        let (document, digest) = self.fetch_manifest(&self.image).await?;
        if document.manifests.is_empty() {
            return Ok((document, digest));
        }
        let ours = document.manifests.iter().find(|d| d.platform.as_ref().is_some_and(Platform::is_ours));
        let ours = ours.ok_or_else(|| {
            OciDistributionError::ImageManifestNotFoundError(format!(
                "no match for platform in manifest: linux/{}",
                architecture()
            ))
        })?;
        check_size(ours.size)?;
        let (manifest, _) = self.fetch_manifest(&self.image.clone_with_digest(ours.digest.clone())).await?;
        Ok((manifest, digest))
    }

    async fn fetch_manifest(
        &self,
        image: &oci_client::Reference,
    ) -> Result<(ManifestOrIndex, String), OciDistributionError> {
        let (bytes, digest) = self.client.pull_manifest_raw(image, &self.auth, &MANIFEST_TYPES).await?;
        // `oci-client` reads a manifest to its end and knows no limit; what is too large goes no further than here.
        check_size(bytes.len() as u64)?;
        Ok((serde_json::from_slice(&bytes)?, digest))
    }

    /// A blob that is small enough to be held in memory.
    async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, OciDistributionError> {
        check_size(descriptor.size)?;
        let mut bytes = Vec::new();
        self.blob(descriptor, &mut bytes).await?;
        Ok(bytes)
    }

    /// Writes a blob, which must be as long as its descriptor says.
    async fn blob(
        &self,
        descriptor: &Descriptor,
        out: impl AsyncWrite + Unpin,
    ) -> Result<(), OciDistributionError> {
        let mut out = Declared::new(out, descriptor.size);
        let wanted = OciDescriptor { digest: descriptor.digest.clone(), ..OciDescriptor::default() };
        self.client.pull_blob(&self.image, &wanted, &mut out).await?;
        Ok(out.check_complete()?)
    }
}

/// Refuses a document that is too large.
fn check_size(size: u64) -> Result<(), OciDistributionError> {
    if size > DOCUMENT_LIMIT_BYTES {
        let text = format!("document of {size} bytes; at most {DOCUMENT_LIMIT_BYTES} are taken");
        return Err(OciDistributionError::IoError(std::io::Error::other(text)));
    }
    Ok(())
}

/// `oci-client` is built without a TLS provider; it takes the process's.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("the process has a TLS provider already");
        }
    });
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Image(format!("unpacking stopped: {e}")))?
}

enum PullError {
    /// The name could not be turned into a manifest.
    Resolve(OciDistributionError),
    Fetch(OciDistributionError),
    Ours(Error),
}

impl From<OciDistributionError> for PullError {
    fn from(e: OciDistributionError) -> Self {
        Self::Fetch(e)
    }
}

impl From<Error> for PullError {
    fn from(e: Error) -> Self {
        Self::Ours(e)
    }
}

/// The sentence that the kubelet shows with `ErrImagePull`, in containerd's words.
fn describe(reference: &Reference, error: PullError) -> Error {
    let prefix = format!("failed to pull and unpack image \"{reference}\"");
    match error {
        PullError::Ours(Error::Invalid(text)) => Error::Invalid(text),
        PullError::Ours(e) => Error::Image(format!("{prefix}: {e}")),
        PullError::Fetch(e) => Error::Image(format!("{prefix}: failed to copy: {}", chain(&e))),
        PullError::Resolve(e) => {
            let prefix = format!("{prefix}: failed to resolve reference \"{reference}\"");
            match Refusal::of(&e) {
                Refusal::NotFound => Error::NotFound(format!("{prefix}: {reference}: not found")),
                Refusal::Denied => Error::Image(format!(
                    "{prefix}: pull access denied, repository does not exist or may require authorization: {}",
                    chain(&e)
                )),
                Refusal::Other => Error::Image(format!("{prefix}: failed to do request: {}", chain(&e))),
            }
        }
    }
}

enum Refusal {
    NotFound,
    Denied,
    Other,
}

impl Refusal {
    fn of(error: &OciDistributionError) -> Self {
        match error {
            OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. } => Self::NotFound,
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::ServerError { code: 401 | 403, .. } => Self::Denied,
            OciDistributionError::RegistryError { envelope, .. } => {
                match envelope.errors.first().map(|e| &e.code) {
                    Some(
                        OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound,
                    ) => Self::NotFound,
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => Self::Denied,
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }
}

/// An error with its causes: the outermost text of an HTTP client says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
