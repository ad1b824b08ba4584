//! A pod's own fields as files.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Volume};

use super::{
    Error, SetUp,
    atomic::{self, File, Files},
    blocking,
    config_map::fs_group,
    items, tmpfs,
};
use crate::{pod, spec::fields};

pub(super) struct Plugin;

#[async_trait::async_trait]
impl super::Plugin for Plugin {
    fn name(&self) -> &'static str {
        "kubernetes.io/downward-api"
    }

    fn handles(&self, volume: &Volume) -> bool {
        volume.downward_api.is_some()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    async fn set_up(&self, cx: &SetUp<'_>) -> Result<Option<Timestamp>, Error> {
        let Some(source) = &cx.volume.downward_api else { return Ok(None) };
        let default_mode = items::mode(source.default_mode.unwrap_or(items::DEFAULT_MODE));
        let files = files(cx, source.items.as_deref().unwrap_or_default(), default_mode)?;
        let fs_group = fs_group(cx.pod);
        let dir = cx.dir.clone();
        blocking(move || {
            tmpfs::ensure(&dir, tmpfs::PLAIN)?;
            atomic::write(&dir, &files, fs_group)
        })
        .await?;
        Ok(None)
    }
}

/// The files that a list of fields stands for.
pub(super) fn files(
    cx: &SetUp<'_>,
    list: &[DownwardAPIVolumeFile],
    default_mode: u32,
) -> Result<Files, Error> {
    let mut out = Files::new();
    for item in list {
        let data = content(cx, item)?.into_bytes();
        let mode = item.mode.map_or(default_mode, items::mode);
        out.insert(item.path.clone(), File { data, mode, owner: None });
    }
    Ok(out)
}

fn content(cx: &SetUp<'_>, item: &DownwardAPIVolumeFile) -> Result<String, Error> {
    if let Some(field) = &item.field_ref {
        return fields::field(cx.pod, &field.field_path, &[], cx.node).map_err(Error::Source);
    }
    let Some(selector) = &item.resource_field_ref else { return Ok(String::new()) };
    let name = selector.container_name.as_deref().unwrap_or_default();
    let (_, container) = pod::container(pod::spec(cx.pod), name)
        .ok_or_else(|| Error::Source(format!("container {name} not found")))?;
    fields::resource(selector, &container, &cx.node.allocatable).map_err(Error::Source)
}
