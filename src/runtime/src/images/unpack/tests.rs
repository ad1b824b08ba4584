use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tar::{Builder, EntryType, Header};

use super::*;
use crate::scratch::Scratch;

struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, name: &str, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o750 } else { 0o640 });
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1000);
        header.set_size(data.len() as u64);
        let bytes = name.as_bytes();
        header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
        if !link.is_empty() {
            header.set_link_name_literal(link).unwrap();
        }
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn dir(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "", b"")
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.add(EntryType::Regular, name, "", data)
    }

    fn unpack(self, scratch: &Scratch) -> Result<String> {
        unpack(&self.0.into_inner().unwrap()[..], scratch.path(), &[])
    }
}

#[test]
fn files_keep_owner_mode_and_time_and_directories_their_time() {
    let scratch = Scratch::new();
    Layer::new().dir("d/").file("d/f", b"hello").unpack(&scratch).unwrap();
    let file = fs::metadata(scratch.path().join("d/f")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777, file.mtime()), (7, 8, 0o640, 1000));
    let dir = fs::metadata(scratch.path().join("d")).unwrap();
    assert_eq!((dir.mode() & 0o777, dir.mtime()), (0o750, 1000));
}

#[test]
fn whiteouts_become_devices_and_opaque_markers_attributes() {
    let scratch = Scratch::new();
    Layer::new().dir("d/").file("d/.wh.gone", b"").file("d/.wh..wh..opq", b"").unpack(&scratch).unwrap();
    let gone = fs::symlink_metadata(scratch.path().join("d/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(opaque(&scratch.path().join("d")), Some(b'y'));
}

#[test]
fn a_directory_over_its_own_whiteout_is_opaque() {
    let scratch = Scratch::new();
    Layer::new().file(".wh.d", b"").dir("d/").unpack(&scratch).unwrap();
    assert_eq!(opaque(&scratch.path().join("d")), Some(b'y'));
}

#[test]
fn hard_links_share_an_inode_and_symlinks_are_not_followed() {
    let scratch = Scratch::new();
    Layer::new()
        .file("a", b"x")
        .add(EntryType::Link, "b", "a", b"")
        .add(EntryType::Symlink, "c", "/etc/passwd", b"")
        .unpack(&scratch)
        .unwrap();
    let at = |name: &str| fs::symlink_metadata(scratch.path().join(name)).unwrap();
    assert_eq!(at("a").ino(), at("b").ino());
    assert!(at("c").is_symlink());
}

#[test]
fn nothing_is_written_through_a_symlinked_parent_or_dots() {
    let scratch = Scratch::new();
    let through_link =
        Layer::new().add(EntryType::Symlink, "out", "/tmp", b"").file("out/coxswain-escape", b"x");
    assert!(through_link.unpack(&scratch).unwrap_err().to_string().contains("not a directory"));
    let scratch = Scratch::new();
    assert!(
        Layer::new().file("../escape", b"x").unpack(&scratch).unwrap_err().to_string().contains("leaves")
    );
}

#[test]
fn an_implied_directory_looks_as_below() {
    let (below, scratch) = (Scratch::new(), Scratch::new());
    fs::create_dir(below.path().join("d")).unwrap();
    fs::set_permissions(below.path().join("d"), fs::Permissions::from_mode(0o711)).unwrap();
    let bytes = Layer::new().file("d/f", b"x").0.into_inner().unwrap();
    unpack(&bytes[..], scratch.path(), &[below.path().to_owned()]).unwrap();
    assert_eq!(fs::metadata(scratch.path().join("d")).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn the_digest_covers_what_follows_the_end_marker() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let bytes = Layer::new().file("a", b"x").0.into_inner().unwrap();
    let padded = [&bytes[..], &[0; 5000]].concat();
    let expected = format!("sha256:{}", hex::encode(Sha256::digest(&padded)));
    assert_eq!(unpack(&padded[..], one.path(), &[]).unwrap(), expected);
    assert_ne!(unpack(&bytes[..], two.path(), &[]).unwrap(), expected);
}

fn opaque(path: &Path) -> Option<u8> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut value = [0_u8; 4];
    // SAFETY: both names end with NUL, the buffer is as long as stated.
    let length = unsafe {
        libc::lgetxattr(
            path.as_ptr(),
            c"trusted.overlay.opaque".as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    (length == 1).then_some(value[0])
}
