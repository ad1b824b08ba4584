//! The data directory: made private, held by one process at a time, and the source of the instance's identity.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

/// A data directory that this process holds; the hold ends with the value.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Makes the directory (0700) if it is not there and takes hold of it.
    ///
    /// # Errors
    /// It cannot be made or written, or another process holds it: that one is named.
    pub(crate) fn hold(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(PRIVATE).create(path).with_context(|| {
            format!("cannot make the data directory {}; give another with --data-dir", path.display())
        })?;
        let path = path.canonicalize()?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Takes hold of a directory that must be one of ours already. `None` where it does not exist.
    ///
    /// # Errors
    /// The directory is not a cluster's, or a process holds it.
    pub(crate) fn hold_existing(path: &Path) -> anyhow::Result<Option<Self>> {
        if !exists(path)? {
            return Ok(None);
        }
        Self::check(path)?;
        Self::hold(path).map(Some)
    }

    /// Fails unless a server has held the directory before. Does not take hold of it.
    pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
        if exists(&path.join(LOCK))? {
            return Ok(());
        }
        bail!("{} is not the data directory of a cluster: it has no file {LOCK:?}", path.display())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A folder in it that only its owner may enter, made if it is not there: the directory itself may have been made by
    /// somebody who let everybody in, and what the folders hold are secrets.
    ///
    /// # Errors
    /// It cannot be made, or its mode cannot be set.
    pub(crate) fn private(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.path.join(name);
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::set_permissions(&folder, Permissions::from_mode(PRIVATE)))
            .with_context(|| format!("cannot make {} private", folder.display()))?;
        Ok(folder)
    }

    /// See [`instance`].
    pub(crate) fn instance(&self) -> String {
        instance(&self.path)
    }

    /// See [`cgroup_root`].
    pub(crate) fn cgroup_root(&self) -> String {
        cgroup_root(&self.path)
    }
}

/// Eight hexadecimal digits that name a cluster's objects on the host (links, tables, cgroups). They follow from the
/// resolved path of its data directory, so that `reset` finds those objects even when the data is damaged or gone.
pub(crate) fn instance(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The cgroup below which every container of a cluster lives.
pub(crate) fn cgroup_root(path: &Path) -> String {
    format!("/coxswain-{}", instance(path))
}

/// A path as [`DataDir::hold`] had it: absolute, without links as far as it still exists.
///
/// # Errors
/// The working directory is unknown, or what is there cannot be read.
pub(crate) fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        _ if path.exists() => path.canonicalize(),
        (Some(parent), Some(name)) => Ok(resolved(parent)?.join(name)),
        _ => Ok(path),
    }
}

const LOCK: &str = "lock";
const PRIVATE: u32 = 0o700;

/// Whether something is there; an error where that may not be looked at.
fn exists(path: &Path) -> anyhow::Result<bool> {
    path.try_exists().with_context(|| format!("cannot look at {}", path.display()))
}

fn lock(path: &Path) -> anyhow::Result<Flock<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path.join(LOCK))
        .with_context(|| format!("cannot write in the data directory {}", path.display()))?;
    let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            bail!(
                "the data directory {} is in use by process {}: stop it, or give another with --data-dir",
                path.display(),
                holder.trim()
            );
        }
        Err((_, errno)) => return Err(errno).context("cannot lock the data directory"),
    };
    let written = lock.set_len(0).and_then(|()| lock.rewind());
    written
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .with_context(|| format!("cannot write in the data directory {}", path.display()))?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_by_one_at_a_time() {
        let path = std::env::temp_dir().join(format!("coxswain-datadir-{}", std::process::id()));
        let held = DataDir::hold(&path).unwrap();
        let instance = held.instance();
        assert_eq!(instance.len(), 8);
        let refused = DataDir::hold(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("in use by process {}", std::process::id())), "{refused}");
        drop(held);
        DataDir::hold_existing(&path).unwrap().expect("it exists");
        std::fs::remove_dir_all(&path).unwrap();
        assert!(DataDir::hold_existing(&path).unwrap().is_none());
        assert_eq!(super::instance(&resolved(&path).unwrap()), instance, "its name outlives the directory");
    }

    #[test]
    fn what_a_cluster_stores_is_private_in_a_directory_that_is_not() {
        let path = std::env::temp_dir().join(format!("coxswain-private-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(path.join("store")).unwrap();
        let folder = DataDir::hold(&path).unwrap().private("store").unwrap();
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, PRIVATE);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_foreign_directory_is_not_taken_for_a_clusters() {
        let error = DataDir::hold_existing(Path::new("/usr")).unwrap_err().to_string();
        assert!(error.contains("not the data directory of a cluster"), "{error}");
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_missing() {
        let error = DataDir::hold_existing(Path::new("/proc/version/data")).unwrap_err().to_string();
        assert!(error.contains("cannot look at /proc/version/data"), "{error}");
    }
}
