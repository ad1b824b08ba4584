//! The JSON documents of images, as far as they are read here: configuration, manifest, index (OCI image specification
//! and Docker's older forms, which share their fields).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An image's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ImageConfig {
    #[serde(default)]
    pub(crate) config: Execution,
    #[serde(default)]
    pub(crate) rootfs: RootFs,
}

/// What an image says about running it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Execution {
    #[serde(deserialize_with = "or_default")]
    pub(crate) entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) user: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) working_dir: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) stop_signal: String,
}

/// The layers of an image, bottom first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) diff_ids: Vec<String>,
}

/// A reference to a blob.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) digest: String,
    #[serde(default)]
    pub(super) size: u64,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
}

/// An index, or a manifest: which one is told by the field that it has.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ManifestOrIndex {
    #[serde(default)]
    pub(super) config: Option<Descriptor>,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

/// An entry of a docker-archive's `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ArchivedImage {
    pub(super) config: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) repo_tags: Vec<String>,
    pub(super) layers: Vec<String>,
}

impl Platform {
    /// Whether this machine runs it.
    pub(super) fn is_ours(&self) -> bool {
        self.os == "linux" && self.architecture == architecture()
    }
}

/// This machine's architecture in Go's words, which images use.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Go writes empty lists as `null`.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}
