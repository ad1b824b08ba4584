//! A secret as files, kept in memory.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{KeyToPath, Volume};

use super::{
    Error, Objects, SetUp,
    atomic::{self, Files},
    blocking,
    config_map::fs_group,
    items, tmpfs,
};

pub(super) struct Plugin;

#[async_trait::async_trait]
impl super::Plugin for Plugin {
    fn name(&self) -> &'static str {
        "kubernetes.io/secret"
    }

    fn handles(&self, volume: &Volume) -> bool {
        volume.secret.is_some()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    async fn set_up(&self, cx: &SetUp<'_>) -> Result<Option<Timestamp>, Error> {
        let Some(source) = &cx.volume.secret else { return Ok(None) };
        let default_mode = items::mode(source.default_mode.unwrap_or(items::DEFAULT_MODE));
        let optional = source.optional == Some(true);
        let name = source.secret_name.as_deref().unwrap_or_default();
        let files = files(cx.objects, name, source.items.as_deref(), default_mode, optional)?;
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

/// The files that a reference to a secret stands for.
pub(super) fn files(
    objects: &Objects,
    name: &str,
    items: Option<&[KeyToPath]>,
    default_mode: u32,
    optional: bool,
) -> Result<Files, Error> {
    let Some(object) = objects.secrets.get(name) else {
        return if optional {
            Ok(Files::new())
        } else {
            Err(Error::Source(format!("secret {name:?} not found")))
        };
    };
    let data = object.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    items::select(data, items, default_mode, optional, "references non-existent secret key")
}
