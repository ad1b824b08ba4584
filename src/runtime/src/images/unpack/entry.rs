//! One entry of a layer: file, link, device or whiteout.

use std::ffi::{CString, OsStr};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tar::{Entry, EntryType};

use super::place::{Found, Place, set_time};
use crate::error::{At, Error, Result};

const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// Markers about a directory as a whole: one is OCI's, the others are AUFS' own bookkeeping.
const MARKER_PREFIX: &[u8] = b".wh..wh.";
const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
const XATTR_PREFIX: &str = "SCHILY.xattr.";
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";

pub(super) fn apply<R: Read>(entry: &mut Entry<'_, R>, place: &mut Place<'_>) -> Result<()> {
    let name = entry.path().map_err(damaged)?.into_owned();
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(());
    }
    let path = place.locate(&name)?;
    let file_name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    if file_name == OPAQUE_MARKER {
        return make_opaque(parent(&path));
    }
    if file_name.starts_with(MARKER_PREFIX) {
        return Ok(());
    }
    if let Some(hidden) = file_name.strip_prefix(WHITEOUT_PREFIX) {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Error::Image(format!("layer: {} hides no file", name.display())));
        }
        return white_out(&parent(&path).join(OsStr::from_bytes(hidden)), place);
    }

    let found = place.clear(&path, kind.is_dir())?;
    match kind {
        EntryType::Directory => make_directory(&path, found)?,
        EntryType::Link => return link(entry, &path, place),
        EntryType::Symlink => {
            let target = entry.link_name().map_err(damaged)?.unwrap_or_default();
            symlink(&target, &path).at("link", &path)?;
        }
        EntryType::Char => make_node(entry, &path, SFlag::S_IFCHR)?,
        EntryType::Block => make_node(entry, &path, SFlag::S_IFBLK)?,
        EntryType::Fifo => make_node(entry, &path, SFlag::S_IFIFO)?,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => write_file(entry, &path)?,
        other => return Err(Error::Image(format!("layer: {} has unknown type {other:?}", name.display()))),
    }
    set_attributes(entry, &path, place)
}

/// Owner first: changing it clears set-uid bits and file capabilities.
fn set_attributes<R: Read>(entry: &mut Entry<'_, R>, path: &Path, place: &mut Place<'_>) -> Result<()> {
    let kind = entry.header().entry_type();
    let (uid, gid) = owner(entry)?;
    lchown(path, Some(uid), Some(gid)).at("change owner of", path)?;
    if kind != EntryType::Symlink {
        let mode = entry.header().mode().map_err(damaged)? & 0o7777;
        fs::set_permissions(path, Permissions::from_mode(mode)).at("change mode of", path)?;
    }
    set_xattrs(entry, path)?;
    let mtime_s = i64::try_from(entry.header().mtime().map_err(damaged)?).unwrap_or(0);
    if kind.is_dir() {
        place.remember_time(path.to_owned(), mtime_s);
        return Ok(());
    }
    set_time(path, mtime_s)
}

fn owner<R: Read>(entry: &Entry<'_, R>) -> Result<(u32, u32)> {
    let header = entry.header();
    // Some writers leave the field blank for root.
    let id = |value: io::Result<u64>, field: &[u8]| match value {
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(0),
        value => {
            u32::try_from(value.map_err(damaged)?).map_err(|e| Error::Image(format!("layer: owner: {e}")))
        }
    };
    Ok((id(header.uid(), &header.as_old().uid)?, id(header.gid(), &header.as_old().gid)?))
}

fn make_directory(path: &Path, found: Found) -> Result<()> {
    if found != Found::Directory {
        fs::create_dir(path).at("create", path)?;
    }
    // The directory was deleted and made again in this layer: what is below stays hidden.
    if found == Found::Whiteout { make_opaque(path) } else { Ok(()) }
}

/// Hides `path` of the layers below; what this layer itself has there stays.
fn white_out(path: &Path, place: &mut Place<'_>) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => make_opaque(path),
        Ok(_) => Ok(()),
        Err(_) => {
            place.clear(path, false)?;
            mknod(path, SFlag::S_IFCHR, Mode::empty(), 0).map_err(io::Error::from).at("create", path)
        }
    }
}

fn make_opaque(directory: &Path) -> Result<()> {
    set_xattr(directory, OPAQUE_XATTR, b"y")
}

/// A hard link to a file of the same layer; its attributes are that file's.
fn link<R: Read>(entry: &mut Entry<'_, R>, path: &Path, place: &mut Place<'_>) -> Result<()> {
    let target = entry.link_name().map_err(damaged)?.unwrap_or_default().into_owned();
    let target = place.locate(&target)?;
    fs::hard_link(&target, path).at("link", path)
}

fn make_node<R: Read>(entry: &mut Entry<'_, R>, path: &Path, kind: SFlag) -> Result<()> {
    let header = entry.header();
    let major = header.device_major().map_err(damaged)?.unwrap_or(0);
    let minor = header.device_minor().map_err(damaged)?.unwrap_or(0);
    mknod(path, kind, Mode::empty(), makedev(major.into(), minor.into()))
        .map_err(io::Error::from)
        .at("create", path)
}

fn write_file<R: Read>(entry: &mut Entry<'_, R>, path: &Path) -> Result<()> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).at("create", path)?;
    io::copy(entry, &mut file).at("write", path)?;
    Ok(())
}

fn set_xattrs<R: Read>(entry: &mut Entry<'_, R>, path: &Path) -> Result<()> {
    let Some(extensions) = entry.pax_extensions().map_err(damaged)? else { return Ok(()) };
    for extension in extensions {
        let extension = extension.map_err(damaged)?;
        let Some(name) = extension.key().ok().and_then(|key| key.strip_prefix(XATTR_PREFIX)) else {
            continue;
        };
        // An image must not steer how its layers are put together.
        if !name.starts_with("trusted.overlay.") {
            set_xattr(path, name, extension.value_bytes())?;
        }
    }
    Ok(())
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    let nul = |e: std::ffi::NulError| Error::Image(format!("layer: {e}"));
    let c_path = CString::new(path.as_os_str().as_bytes()).map_err(nul)?;
    let c_name = CString::new(name).map_err(nul)?;
    // SAFETY: both strings end with NUL and the value is as long as stated.
    let result =
        unsafe { libc::lsetxattr(c_path.as_ptr(), c_name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()).at("set attribute of", path) }
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("an entry's path has the layer's directory above it")
}

fn damaged(e: io::Error) -> Error {
    Error::Image(format!("layer: damaged archive: {e}"))
}
