//! A container's root file system: overlayfs over an image's layers. Knows directories, not images.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{At, Result};
use crate::files;

/// Where in a container's directory its root file system is mounted.
pub(crate) const ROOTFS: &str = "rootfs";
/// `mount` takes a page of options; a little less, for what the kernel adds.
const OPTIONS_LIMIT_BYTES: usize = 4000;

/// Mounts a root file system at `<container>/rootfs`, over `layers` (bottom first). Device files in it do not work where
/// `devices` is false: a container has its devices in `/dev`, which is a file system of its own.
pub(crate) fn make(container: &Path, layers: &[PathBuf], devices: bool) -> Result<PathBuf> {
    let rootfs = container.join(ROOTFS);
    let [upper, work, empty] = ["upper", "work", "empty"].map(|name| container.join(name));
    for directory in [&rootfs, &upper, &work] {
        files::make_dir(directory)?;
    }
    // The root of the container is this directory: everybody in it may pass.
    set_mode(&upper, 0o755)?;
    let mut layers = layers.to_vec();
    if layers.is_empty() {
        files::make_dir(&empty)?;
        set_mode(&empty, 0o755)?;
        layers.push(empty);
    }
    let flags = if devices { MsFlags::empty() } else { MsFlags::MS_NODEV };
    let mut options = overlay_options(&layers, &upper, &work);
    let mut handles = Vec::new();
    if options.len() > OPTIONS_LIMIT_BYTES {
        // Descriptors have short paths.
        for layer in &mut layers {
            let handle = File::open(&*layer).at("open", &*layer)?;
            *layer = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
            handles.push(handle);
        }
        options = overlay_options(&layers, &upper, &work);
    }
    mount(Some("overlay"), &rootfs, Some("overlay"), flags, Some(options.as_str())).at("mount", &rootfs)?;
    Ok(rootfs)
}

/// The topmost layer comes first.
fn overlay_options(layers: &[PathBuf], upper: &Path, work: &Path) -> String {
    let lower: Vec<String> = layers.iter().rev().map(|layer| escape(layer)).collect();
    format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), escape(upper), escape(work))
}

/// Overlayfs takes `:` and `,` for separators.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).at("change mode of", path)
}

/// Takes away whatever is mounted at `path`, also several times; that nothing is there is fine.
pub(crate) fn unmount(path: &Path) -> Result<()> {
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => return Ok(()),
            Err(e) => return Err(e).at("unmount", path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_layer_comes_first_and_separators_are_escaped() {
        let layers = [PathBuf::from("/l/a"), PathBuf::from("/l/b:c")];
        let options = overlay_options(&layers, Path::new("/u"), Path::new("/w"));
        assert_eq!(options, "lowerdir=/l/b\\:c:/l/a,upperdir=/u,workdir=/w");
    }
}
