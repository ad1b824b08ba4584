//! `subPath`: a part of a volume as a mount of its own.
//!
//! Containers may write into a volume while its path is resolved, so it is opened beneath the volume without leaving it by any
//! link, and what was opened is bound to a place of our own.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    mount::{MsFlags, mount},
    sys::stat::{Mode, mkdirat},
};

use super::{Error, blocking};

/// Binds `subpath` of `volume` to `target` (made if need be) and creates directories that are missing.
pub(crate) async fn bind(volume: &Path, subpath: &str, target: &Path) -> Result<(), Error> {
    let path = Path::new(subpath);
    if path.is_absolute() {
        return Err(Error::Source(format!("error SubPath `{subpath}` must not be an absolute path")));
    }
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(Error::Source(format!("unable to provision SubPath `{subpath}`: must not contain '..'")));
    }
    let (volume, path, target) = (volume.to_owned(), path.to_owned(), target.to_owned());
    blocking(move || {
        bind_now(&volume, &path, &target).map_err(Error::io(format!("subPath {}", path.display())))
    })
    .await
}

fn bind_now(volume: &Path, path: &Path, target: &Path) -> io::Result<()> {
    let root = open(None, volume)?;
    let found = match open(Some(&root), path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_directories(&root, path)?,
        Err(error) => return Err(error),
    };
    let source = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    make_target(target, source.metadata()?.is_dir())?;
    let bound = mount(Some(&source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>);
    bound.map_err(io::Error::from)
}

/// Opens a path without following a link out of `root`.
fn open(root: Option<&OwnedFd>, path: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
    let opened = match root {
        Some(root) => openat2(root, path, how.resolve(ResolveFlag::RESOLVE_IN_ROOT)),
        None => openat2(nix::fcntl::AT_FDCWD, path, how),
    };
    opened.map_err(io::Error::from)
}

fn make_directories(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut made = open(Some(root), Path::new("."))?;
    for component in path.components().filter(|component| matches!(component, Component::Normal(_))) {
        let name = Path::new(component.as_os_str());
        let parent = made;
        match mkdirat(&parent, name, Mode::from_bits_truncate(0o750)) {
            Ok(()) | Err(nix::Error::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
        // A link put here meanwhile must not lead anywhere.
        made =
            openat2(&parent, name, how.resolve(ResolveFlag::RESOLVE_NO_SYMLINKS)).map_err(io::Error::from)?;
    }
    Ok(made)
}

fn make_target(target: &Path, is_dir: bool) -> io::Result<()> {
    if is_dir {
        return fs::create_dir_all(target);
    }
    target.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::OpenOptions::new().create(true).append(true).open(target).map(drop)
}
