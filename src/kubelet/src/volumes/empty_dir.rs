//! A directory that lives as long as the pod, on disk or in memory.

use std::{fs, os::unix::fs::PermissionsExt};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Volume;

use super::{
    Error, SetUp, blocking,
    config_map::{fs_group, make_dir},
    ownership, tmpfs,
};
use crate::spec::resources;

pub(super) struct Plugin;

#[async_trait::async_trait]
impl super::Plugin for Plugin {
    fn name(&self) -> &'static str {
        "kubernetes.io/empty-dir"
    }

    fn handles(&self, volume: &Volume) -> bool {
        volume.empty_dir.is_some()
    }

    async fn set_up(&self, cx: &SetUp<'_>) -> Result<Option<Timestamp>, Error> {
        let Some(source) = &cx.volume.empty_dir else { return Ok(None) };
        let limit = source.size_limit.as_ref().map(resources::value).filter(|bytes| *bytes > 0);
        let in_memory = match source.medium.as_deref() {
            None | Some("") => false,
            Some("Memory") => true,
            Some(other) => return Err(Error::Source(format!("emptyDir medium {other} is not supported"))),
        };
        let (dir, group) = (cx.dir.clone(), fs_group(cx.pod));
        blocking(move || {
            // What a container has written since is not touched.
            if dir.exists() && !in_memory {
                return Ok(());
            }
            if in_memory {
                if tmpfs::is_mounted(&dir) {
                    return Ok(());
                }
                tmpfs::ensure(&dir, limit)?;
            } else {
                make_dir(&dir)?;
            }
            let what = format!("preparing {}", dir.display());
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).map_err(Error::io(what.clone()))?;
            group.map_or(Ok(()), |group| ownership::apply(&dir, group, false).map_err(Error::io(what)))
        })
        .await?;
        Ok(None)
    }
}
