//! Opening files of a container's root file system as the container would: links lead inside it, never out.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::error::{At, Result};

/// Opens `path` as seen from `root`, with the kernel resolving links inside it (`openat2`, `RESOLVE_IN_ROOT`).
fn open_in(root: &Path, path: &Path) -> io::Result<File> {
    open_at(&File::open(root)?, path, libc::O_RDONLY | libc::O_CLOEXEC)
}

/// The text of a small file of the root file system; empty when it is not there.
pub(super) fn read_in(root: &Path, path: &str) -> String {
    const LIMIT_BYTES: u64 = 1024 * 1024;
    let mut text = String::new();
    if let Ok(file) = open_in(root, Path::new(path)) {
        let read = io::Read::read_to_string(&mut io::Read::take(file, LIMIT_BYTES), &mut text);
        if let Err(e) = read {
            tracing::debug!(path, error = %e, "file of an image is not readable");
        }
    }
    text
}

/// Makes the directory `path` and its parents in the root file system, where they are missing.
pub(super) fn make_dir_in(root: &Path, path: &Path) -> Result<()> {
    let base = File::open(root).at("open", root)?;
    let mut so_far = std::path::PathBuf::from("/");
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let parent = open_at(&base, &so_far, libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
            .at("open", &so_far)?;
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o755);
        match nix::sys::stat::mkdirat(&parent, name, mode) {
            Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
            Err(e) => return Err(e).at("create", so_far.join(name)),
        }
        so_far.push(name);
    }
    Ok(())
}

fn open_at(base: &File, path: &Path, flags: i32) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all bytes zero is a valid value.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = flags as u64;
    how.resolve = libc::RESOLVE_IN_ROOT;
    // SAFETY: path and structure are valid during the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            base.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor, owned by nobody else.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}
