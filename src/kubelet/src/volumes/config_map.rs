//! A config map as files.

use std::{fs, path::Path};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Volume};

use super::{
    Error, Objects, SetUp,
    atomic::{self, Files},
    blocking, items,
};
use crate::pod;

pub(super) struct Plugin;

#[async_trait::async_trait]
impl super::Plugin for Plugin {
    fn name(&self) -> &'static str {
        "kubernetes.io/configmap"
    }

    fn handles(&self, volume: &Volume) -> bool {
        volume.config_map.is_some()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    async fn set_up(&self, cx: &SetUp<'_>) -> Result<Option<Timestamp>, Error> {
        let Some(source) = &cx.volume.config_map else { return Ok(None) };
        let default_mode = items::mode(source.default_mode.unwrap_or(items::DEFAULT_MODE));
        let optional = source.optional == Some(true);
        let files = files(cx.objects, &source.name, source.items.as_deref(), default_mode, optional)?;
        let fs_group = fs_group(cx.pod);
        let dir = cx.dir.clone();
        blocking(move || {
            make_dir(&dir)?;
            atomic::write(&dir, &files, fs_group)
        })
        .await?;
        Ok(None)
    }
}

/// The files that a reference to a config map stands for.
pub(super) fn files(
    objects: &Objects,
    name: &str,
    items: Option<&[KeyToPath]>,
    default_mode: u32,
    optional: bool,
) -> Result<Files, Error> {
    let Some(object) = objects.config_maps.get(name) else {
        return if optional {
            Ok(Files::new())
        } else {
            Err(Error::Source(format!("configmap {name:?} not found")))
        };
    };
    items::select(data(object), items, default_mode, optional, "configmap references non-existent config key")
}

fn data(object: &ConfigMap) -> impl Iterator<Item = (String, Vec<u8>)> {
    let text = object.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = object.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    text.chain(binary)
}

/// The group that a pod wants its volumes to belong to.
pub(super) fn fs_group(pod: &k8s_openapi::api::core::v1::Pod) -> Option<u32> {
    let group = pod::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io(format!("creating {}", dir.display())))
}
