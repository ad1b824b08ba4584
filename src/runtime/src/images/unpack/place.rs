//! The directory that a layer is unpacked into: where an entry may go, and what was there before.

use std::collections::HashMap;
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::error::{At, Error, Result};

pub(super) struct Place<'a> {
    root: &'a Path,
    lower: &'a [PathBuf],
    /// Times of directories, set at the end: every file made in one changes them.
    directory_times: HashMap<PathBuf, i64>,
    /// The parent that was checked last; archives name the files of a directory one after the other.
    checked: Option<PathBuf>,
}

/// What an entry found at its path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Nothing,
    Directory,
    Whiteout,
    Other,
}

impl<'a> Place<'a> {
    pub(super) fn new(root: &'a Path, lower: &'a [PathBuf]) -> Self {
        Self { root, lower, directory_times: HashMap::new(), checked: None }
    }

    /// The path of an archive name on disk. Its parents exist then and are true directories.
    pub(super) fn locate(&mut self, name: &Path) -> Result<PathBuf> {
        let relative = clean(name)?;
        let parent = relative.parent().unwrap_or(Path::new(""));
        if self.checked.as_deref() != Some(parent) {
            self.prepare_parents(parent)?;
            self.checked = Some(parent.to_owned());
        }
        Ok(self.root.join(relative))
    }

    fn prepare_parents(&self, parent: &Path) -> Result<()> {
        let mut path = PathBuf::new();
        for part in parent {
            path.push(part);
            let full = self.root.join(&path);
            match fs::symlink_metadata(&full) {
                Ok(m) if m.is_dir() => {}
                Ok(_) => {
                    return Err(Error::Image(format!("layer: parent {} is not a directory", path.display())));
                }
                Err(e) if e.kind() == ErrorKind::NotFound => self.imply_directory(&path)?,
                Err(e) => return Err(e).at("look at", full),
            }
        }
        Ok(())
    }

    /// Makes a directory that the archive has no entry for, looking as it does in the layers below.
    fn imply_directory(&self, relative: &Path) -> Result<()> {
        let full = self.root.join(relative);
        fs::create_dir(&full).at("create", &full)?;
        let model = self.lower.iter().rev().find_map(|layer| fs::symlink_metadata(layer.join(relative)).ok());
        let (mode, uid, gid) = match model.filter(Metadata::is_dir) {
            Some(m) => (m.mode() & 0o7777, m.uid(), m.gid()),
            None => (0o755, 0, 0),
        };
        lchown(&full, Some(uid), Some(gid)).at("change owner of", &full)?;
        fs::set_permissions(&full, Permissions::from_mode(mode)).at("change mode of", &full)
    }

    /// Removes what is in the way at `path`, except a directory where a directory shall be. Says what it was.
    pub(super) fn clear(&mut self, path: &Path, for_directory: bool) -> Result<Found> {
        let found = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(e) => return Err(e).at("look at", path),
            Ok(m) if m.is_dir() => Found::Directory,
            Ok(m) if m.file_type().is_char_device() && m.rdev() == 0 => Found::Whiteout,
            Ok(_) => Found::Other,
        };
        match found {
            Found::Directory if for_directory || path == self.root => {}
            Found::Directory => {
                fs::remove_dir_all(path).at("remove", path)?;
                self.directory_times.retain(|known, _| !known.starts_with(path));
                self.checked = None;
            }
            _ => fs::remove_file(path).at("remove", path)?,
        }
        Ok(found)
    }

    pub(super) fn remember_time(&mut self, path: PathBuf, mtime_s: i64) {
        self.directory_times.insert(path, mtime_s);
    }

    pub(super) fn finish(self) -> Result<()> {
        self.directory_times.iter().try_for_each(|(path, mtime_s)| set_time(path, *mtime_s))
    }
}

/// Sets both times of a file, not following a link.
pub(super) fn set_time(path: &Path, mtime_s: i64) -> Result<()> {
    let time = TimeSpec::new(mtime_s, 0);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
        .map_err(io::Error::from)
        .at("set time of", path)
}

/// A name without leading `/` and `./`. `..` is refused rather than resolved.
fn clean(name: &Path) -> Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::Image(format!("layer: name {} leaves the layer", name.display())));
            }
        }
    }
    Ok(clean)
}
