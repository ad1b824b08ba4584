//! One registry, for one image and with the credentials of one pull: they must not serve another's.
//!
//! Logging in and blobs are `oci-client`'s. Manifests are fetched here, because `oci-client` reads them to their end however
//! long they are. Every digest is checked, and nothing is taken that is larger than it should be.

use std::sync::Once;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};
use reqwest::header::ACCEPT;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWrite;

use super::super::document::{Descriptor, ManifestOrIndex, Platform, architecture};
use super::super::{Credentials, Reference};
use super::declared::Declared;
use super::failure::{Failure, Refusal, chain};
use crate::error::{Error, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a registry may say nothing in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const USER_AGENT: &str = concat!("coxswain/", env!("CARGO_PKG_VERSION"));
/// The largest manifest, index or configuration; registries take no larger manifests.
const DOCUMENT_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Image manifest and index in OCI's and in Docker's form.
const MANIFEST_TYPES: [&str; 4] = [
    OCI_IMAGE_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

pub(super) struct Registry {
    client: Client,
    /// For manifests.
    http: reqwest::Client,
    /// `https://host[:port]/v2/<repository>`
    url: String,
    image: oci_client::Reference,
    auth: RegistryAuth,
}

impl Registry {
    pub(super) fn open(reference: &Reference, plain_http: bool, credentials: &Credentials) -> Result<Self> {
        install_crypto_provider();
        let (protocol, scheme) =
            if plain_http { (ClientProtocol::Http, "http") } else { (ClientProtocol::Https, "https") };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let failed = |e: &dyn std::error::Error| Error::Image(format!("registry client: {}", chain(e)));
        let client = Client::try_from(config).map_err(|e| failed(&e))?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(USER_AGENT)
            .build()
            .map_err(|e| failed(&e))?;
        let image = in_their_terms(reference);
        let url = format!("{scheme}://{}/v2/{}", image.resolve_registry(), image.repository());
        Ok(Self { client, http, url, image, auth: credentials.to_auth()? })
    }

    /// The manifest for this machine, and the digest of what the name stands for (manifest or index).
    pub(super) async fn manifest(&self) -> Result<(ManifestOrIndex, String), Failure> {
        let name = self.image.digest().or(self.image.tag()).unwrap_or("latest");
        let (document, digest) = self.fetch_manifest(name).await?;
        if document.manifests.is_empty() {
            return Ok((document, digest));
        }
        let ours = document.manifests.iter().find(|d| d.platform.as_ref().is_some_and(Platform::is_ours));
        let Some(ours) = ours else {
            let text = format!("no match for platform in manifest: linux/{}", architecture());
            return Err(Failure::Resolve(Refusal::NotFound, text));
        };
        check_size(ours.size)?;
        let (manifest, _) = self.fetch_manifest(&ours.digest).await?;
        Ok((manifest, digest))
    }

    /// A manifest by tag or digest, and its digest.
    async fn fetch_manifest(&self, name: &str) -> Result<(ManifestOrIndex, String), Failure> {
        let token = self.client.auth(&self.image, &self.auth, RegistryOperation::Pull).await;
        let token = token.map_err(Failure::resolving)?;
        let url = format!("{}/manifests/{name}", self.url);
        let request = self.http.get(&url).header(ACCEPT, MANIFEST_TYPES.join(", "));
        let request = match (token, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        };
        let failed = |e: reqwest::Error| Failure::Resolve(Refusal::Other, chain(&e));
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let announced = answer.headers().get("docker-content-digest").cloned();
        let bytes = read_document(answer).await?;
        if !status.is_success() {
            return Err(Failure::Resolve(Refusal::of_code(status.as_u16()), refusal(status, &url, &bytes)));
        }
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let announced = announced.as_ref().and_then(|value| value.to_str().ok());
        for expected in announced.into_iter().chain([name]).filter(|text| text.contains(':')) {
            check_digest(&digest, expected)?;
        }
        let document = serde_json::from_slice(&bytes)
            .map_err(|e| Failure::Resolve(Refusal::Other, format!("{url} is no manifest: {e}")))?;
        Ok((document, digest))
    }

    /// A blob that is small enough to be held in memory.
    pub(super) async fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, Failure> {
        check_size(descriptor.size)?;
        let mut bytes = Vec::new();
        self.blob(descriptor, &mut bytes).await?;
        Ok(bytes)
    }

    /// Writes a blob, which must be as long as its descriptor says.
    pub(super) async fn blob(
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

fn in_their_terms(reference: &Reference) -> oci_client::Reference {
    let (registry, repository) = (reference.registry.clone(), reference.repository.clone());
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => oci_client::Reference::with_digest(registry, repository, digest.clone()),
        (None, tag) => {
            let tag = tag.clone().unwrap_or_else(|| "latest".into());
            oci_client::Reference::with_tag(registry, repository, tag)
        }
    }
}

/// The body of an answer, unless it is too large.
async fn read_document(mut answer: reqwest::Response) -> Result<Vec<u8>, Failure> {
    check_size(answer.content_length().unwrap_or(0))?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| Failure::Resolve(Refusal::Other, chain(&e)))? {
        check_size((bytes.len() + piece.len()) as u64)?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Refuses a document that is too large.
fn check_size(size: u64) -> Result<()> {
    if size > DOCUMENT_LIMIT_BYTES {
        let text = format!("document of {size} bytes; at most {DOCUMENT_LIMIT_BYTES} are taken");
        return Err(Error::Image(text));
    }
    Ok(())
}

fn check_digest(digest: &str, expected: &str) -> Result<()> {
    if digest != expected {
        return Err(Error::Image(format!("manifest has the digest {digest} where {expected} was expected")));
    }
    Ok(())
}

/// What a registry says with a status that is no success: its first error, or the status.
fn refusal(status: reqwest::StatusCode, url: &str, body: &[u8]) -> String {
    let said = serde_json::from_slice::<serde_json::Value>(body).ok();
    let said = said.as_ref().and_then(|said| {
        let first = &said["errors"][0];
        Some(format!("{}: {}", first["code"].as_str()?.to_lowercase(), first["message"].as_str()?))
    });
    match said {
        Some(said) => format!("unexpected status from GET request to {url}: {status}: {said}"),
        None => format!("unexpected status from GET request to {url}: {status}"),
    }
}

/// `oci-client` and `reqwest` are built without a TLS provider; they take the process's. The authorities that they trust are
/// the machine's own.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("the process has a TLS provider already");
        }
    });
}
