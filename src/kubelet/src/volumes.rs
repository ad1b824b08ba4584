//! The volumes of a pod: a type is a file here and a line in [`PLUGINS`].
//!
//! `prepare` puts all volumes that the pod's containers mount in place, and again when what they show has changed; it may be
//! repeated at any time. Containers get the paths as bind mounts (`mounts`). Knows nothing of containers that run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Volume};

use crate::{pod, spec::fields::NodeFacts, tokens::Tokens};

pub(crate) mod atomic;
mod config_map;
mod downward_api;
mod empty_dir;
mod host_path;
mod items;
pub(crate) mod mounts;
mod ownership;
mod projected;
mod secret;
pub(crate) mod subpath;
pub(crate) mod tear_down;
mod tmpfs;

/// What fails about one volume; the text is the user's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Something it refers to is not there or not usable.
    #[error("{0}")]
    Source(String),
    /// The node could not do it.
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The objects in the pod's namespace that it refers to, as far as they exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub config_maps: BTreeMap<String, Arc<ConfigMap>>,
    pub secrets: BTreeMap<String, Arc<Secret>>,
}

/// What a volume is made from.
pub(crate) struct SetUp<'a> {
    pub pod: &'a Pod,
    pub volume: &'a Volume,
    /// Where it goes.
    pub dir: PathBuf,
    pub objects: &'a Objects,
    pub node: &'a NodeFacts,
    pub tokens: &'a Tokens,
}

/// One type of volume.
#[async_trait::async_trait]
pub(crate) trait Plugin: Send + Sync {
    /// Upstream's name of the type, by which its directory is called.
    fn name(&self) -> &'static str;

    fn handles(&self, volume: &Volume) -> bool;

    /// Puts the volume in place; says when it must be looked at again, if ever.
    async fn set_up(&self, cx: &SetUp<'_>) -> Result<Option<Timestamp>, Error>;

    /// Where the content is.
    fn path(&self, _volume: &Volume, dir: PathBuf) -> PathBuf {
        dir
    }

    /// Whether containers may only read it.
    fn is_read_only(&self) -> bool {
        false
    }
}

const PLUGINS: [&dyn Plugin; 6] = [
    &config_map::Plugin,
    &downward_api::Plugin,
    &empty_dir::Plugin,
    &host_path::Plugin,
    &projected::Plugin,
    &secret::Plugin,
];

fn plugin(volume: &Volume) -> Result<&'static dyn Plugin, Error> {
    let found = PLUGINS.into_iter().find(|plugin| plugin.handles(volume));
    found.ok_or_else(|| Error::Source(format!("volume type {} is not supported", type_name(volume))))
}

/// The field by which a volume states its type.
fn type_name(volume: &Volume) -> String {
    let fields = serde_json::to_value(volume).ok();
    let fields = fields.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten();
    fields.map(|(key, _)| key.as_str()).find(|key| *key != "name").unwrap_or("unknown").to_owned()
}

fn dir(pod_dir: &Path, plugin: &dyn Plugin, volume: &Volume) -> PathBuf {
    pod_dir.join("volumes").join(plugin.name().replace('/', "~")).join(&volume.name)
}

/// Where the content of a volume is on the node, and whether it may only be read.
pub(crate) fn source_path(pod_dir: &Path, volume: &Volume) -> Result<(PathBuf, bool), Error> {
    let plugin = plugin(volume)?;
    Ok((plugin.path(volume, dir(pod_dir, plugin, volume)), plugin.is_read_only()))
}

/// What `prepare` says when everything is in place: when to look again.
pub(crate) type Refresh = Option<Timestamp>;

/// Puts all mounted volumes in place; otherwise names each that failed, and why.
pub(crate) async fn prepare(
    pod: &Pod,
    pod_dir: &Path,
    objects: &Objects,
    node: &NodeFacts,
    tokens: &Tokens,
) -> Result<Refresh, Vec<(String, Error)>> {
    let mut refresh: Refresh = None;
    let mut failed = Vec::new();
    for volume in mounted(pod) {
        match prepare_one(pod, pod_dir, volume, objects, node, tokens).await {
            Ok(at) => refresh = refresh.into_iter().chain(at).min(),
            Err(error) => failed.push((volume.name.clone(), error)),
        }
    }
    if failed.is_empty() { Ok(refresh) } else { Err(failed) }
}

async fn prepare_one(
    pod: &Pod,
    pod_dir: &Path,
    volume: &Volume,
    objects: &Objects,
    node: &NodeFacts,
    tokens: &Tokens,
) -> Result<Refresh, Error> {
    let plugin = plugin(volume)?;
    let dir = dir(pod_dir, plugin, volume);
    plugin.set_up(&SetUp { pod, volume, dir, objects, node, tokens }).await
}

/// The volumes that some container mounts; others are not looked at.
fn mounted(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let spec = pod::spec(pod);
    let regular = pod::containers(spec).flat_map(|(_, container)| container.volume_mounts.iter().flatten());
    let ephemeral = spec.ephemeral_containers.iter().flatten().flat_map(|c| c.volume_mounts.iter().flatten());
    let names: BTreeSet<&str> = regular.chain(ephemeral).map(|mount| mount.name.as_str()).collect();
    spec.volumes.iter().flatten().filter(move |volume| names.contains(volume.name.as_str()))
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Source(format!("internal error: {error}"))),
    }
}
