//! A directory that lives as long as the pod, on disk or in memory.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

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
        blocking(move || match in_memory {
            true => tmpfs::ensure(&dir, &options(limit, group)),
            false => make(&dir, group),
        })
        .await?;
        Ok(None)
    }
}

/// Everybody may write; files belong to the group.
fn options(limit_bytes: Option<i64>, group: Option<u32>) -> String {
    let owned = group.map_or_else(|| "mode=0777".to_owned(), |group| format!("mode=02777,gid={group}"));
    limit_bytes.map_or_else(|| owned.clone(), |bytes| format!("{owned},size={bytes}"))
}

/// Makes the directory, unless it is there: then a container may have written to it. Under another name first, so that the one
/// that is there has the right owner even if its maker was killed. No volume's name begins with a dot.
fn make(dir: &Path, group: Option<u32>) -> Result<(), Error> {
    if dir.exists() {
        return Ok(());
    }
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let new = dir.with_file_name(format!(".{name}.new"));
    let what = || format!("preparing {}", dir.display());
    make_dir(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o777)).map_err(Error::io(what()))?;
    if let Some(group) = group {
        ownership::apply(&new, group, false).map_err(Error::io(what()))?;
    }
    fs::rename(&new, dir).map_err(Error::io(what()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn one_whose_maker_was_killed_is_made_anew_and_a_finished_one_is_left_alone() {
        let parent = std::env::temp_dir().join(format!("coxswain-empty-dir-{:x}", rand::random::<u64>()));
        fs::create_dir_all(parent.join(".v.new")).unwrap();
        fs::set_permissions(parent.join(".v.new"), fs::Permissions::from_mode(0o700)).unwrap();
        let (dir, group) = (parent.join("v"), nix::unistd::getgid().as_raw());
        make(&dir, Some(group)).unwrap();
        let made = dir.metadata().unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        make(&dir, Some(group)).unwrap();
        let kept = dir.metadata().unwrap();
        let names: Vec<_> = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        fs::remove_dir_all(&parent).unwrap();
        assert_eq!((made.mode() & 0o7777, made.gid()), (0o2777, group));
        assert_eq!(kept.mode() & 0o7777, 0o755);
        assert_eq!(names, ["v"]);
    }

    #[test]
    fn one_in_memory_is_mounted_as_it_is_to_be() {
        assert_eq!(options(None, None), "mode=0777");
        assert_eq!(options(Some(4096), Some(7)), "mode=02777,gid=7,size=4096");
    }
}
