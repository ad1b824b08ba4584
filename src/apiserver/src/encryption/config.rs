//! The file of `--encryption-provider-config`: an `EncryptionConfiguration` of `apiserver.config.k8s.io/v1`, in YAML or JSON.
//! Unknown fields are errors, as upstream's.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::validate;

const API_VERSION: &str = "apiserver.config.k8s.io/v1";
const KIND: &str = "EncryptionConfiguration";

#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    pub(super) resources: Vec<Resources>,
}

/// Resources and what they are encrypted with.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Resources {
    #[serde(default)]
    pub(super) resources: Vec<String>,
    #[serde(default)]
    pub(super) providers: Vec<Provider>,
}

/// One of its fields is set, once it is validated.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    pub(super) aesgcm: Option<Keys>,
    pub(super) aescbc: Option<Keys>,
    pub(super) secretbox: Option<Keys>,
    pub(super) identity: Option<Identity>,
    pub(super) kms: Option<Kms>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    #[serde(default)]
    pub(super) keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Key {
    #[serde(default)]
    pub(super) name: String,
    /// Base64.
    #[serde(default)]
    pub(super) secret: String,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kms {
    /// Upstream's default is the version that it has deprecated.
    #[serde(default = "v1")]
    pub(super) api_version: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) endpoint: String,
    /// How long one call may take.
    #[serde(default = "three_seconds")]
    pub(super) timeout: String,
    #[serde(rename = "cachesize")]
    pub(super) cache_size: Option<i32>,
}

fn v1() -> String {
    "v1".to_owned()
}

fn three_seconds() -> String {
    "3s".to_owned()
}

/// The bytes of a key.
pub(super) fn secret(key: &Key) -> Result<Vec<u8>, base64::DecodeError> {
    STANDARD.decode(&key.secret)
}

/// Reads and validates a file. Gives a hash of it, too, by which changes are found.
pub(super) fn read(path: &Path, reload: bool) -> Result<(Config, [u8; 32]), String> {
    let text = content(path).map_err(|why| format!("error while loading file: {why}"))?;
    let decoded = |why: String| {
        format!(
            "error decoding encryption provider configuration file {:?}: {why}",
            path.display().to_string()
        )
    };
    let config: Config = serde_saphyr::from_str(&text).map_err(|error| decoded(told(&error)))?;
    if (config.api_version.as_str(), config.kind.as_str()) != (API_VERSION, KIND) {
        let (kind, version) = (&config.kind, &config.api_version);
        return Err(decoded(format!(
            "no kind {kind:?} is registered for version {version:?}; it has to be {KIND} of {API_VERSION}"
        )));
    }
    let errors = validate::validate(&config, reload);
    if errors.is_empty() {
        return Ok((config, hash(text.as_bytes())));
    }
    Err(machinery::field::aggregate(&errors))
}

/// What is wrong with a file, and where; never what stands there, since it may be a key.
fn told(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;

    let what = match error.without_snippet() {
        Error::SerdeUnknownField { expected, .. } => {
            format!("unknown field, expected one of {}", expected.join(", "))
        }
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("expected {expected}")
        }
        Error::Unexpected { expected, .. } => format!("expected {expected}"),
        Error::DuplicateMappingKey { .. } => "a field stands there twice".to_owned(),
        _ => "not valid YAML".to_owned(),
    };
    let place = error.location().map(|place| format!("line {}, column {}: ", place.line(), place.column()));
    place.unwrap_or_default() + &what
}

/// The hash of a file's content.
pub(super) fn hash_of(path: &Path) -> Result<[u8; 32], String> {
    content(path).map(|text| hash(text.as_bytes()))
}

fn content(path: &Path) -> Result<String, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("error reading encryption provider configuration file {name:?}: {error}"))?;
    if text.is_empty() {
        return Err(format!("encryption provider configuration file {name:?} is empty"));
    }
    Ok(text)
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
