use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use sha2::{Digest, Sha256};
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

    fn unpack_within(self, scratch: &Scratch, bounds: Bounds) -> Result<String> {
        unpack(&self.0.into_inner().unwrap()[..], scratch.path(), &[], bounds)
    }

    fn unpack(self, scratch: &Scratch) -> Result<String> {
        self.unpack_within(scratch, Bounds::new(1 << 20, 100))
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

/// Unpacks one level deeper than the scratch directory, which must then hold nothing else.
fn check_refused(layer: Layer, expected: &str) {
    let scratch = Scratch::new();
    let target = scratch.path().join("layer");
    fs::create_dir(&target).unwrap();
    let bytes = layer.0.into_inner().unwrap();
    let error = unpack(&bytes[..], &target, &[], Bounds::new(1 << 20, 10)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    let beside: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((beside, opaque(scratch.path())), (vec!["layer".into()], None));
}

#[test]
fn links_and_whiteouts_do_not_reach_outside() {
    let link = |name: &str, to: &str| Layer::new().add(EntryType::Link, name, to, b"");
    check_refused(link("passwd", "../../etc/passwd"), "leaves");
    check_refused(link("passwd", "/etc/passwd"), "No such file");
    let through = Layer::new().add(EntryType::Symlink, "etc", "/etc", b"").add(
        EntryType::Link,
        "passwd",
        "etc/passwd",
        b"",
    );
    check_refused(through, "not a directory");
    for hidden in [".wh.", ".wh..", ".wh..."] {
        check_refused(Layer::new().file(hidden, b""), "hides no file");
    }
    check_refused(
        Layer::new().add(EntryType::Symlink, "d", "..", b"").file("d/.wh.x", b""),
        "not a directory",
    );
}

#[test]
fn a_file_over_a_symlink_replaces_the_link() {
    let (scratch, outside) = (Scratch::new(), Scratch::new());
    let victim = outside.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    Layer::new()
        .add(EntryType::Symlink, "a", victim.to_str().unwrap(), b"")
        .file("a", b"theirs")
        .unpack(&scratch)
        .unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(fs::read(scratch.path().join("a")).unwrap(), b"theirs");
}

#[test]
fn an_archive_cannot_set_how_layers_are_put_together() {
    let scratch = Scratch::new();
    let mut layer = Layer::new();
    let attributes =
        [("SCHILY.xattr.trusted.overlay.redirect", &b"/x"[..]), ("SCHILY.xattr.user.mine", b"1")];
    layer.0.append_pax_extensions(attributes).unwrap();
    layer.file("a", b"x").unpack(&scratch).unwrap();
    let names = xattr_names(&scratch.path().join("a"));
    assert!(!names.contains("overlay"), "{names}");
}

#[test]
fn bookkeeping_of_aufs_is_passed_over() {
    let scratch = Scratch::new();
    Layer::new().dir(".wh..wh.plnk/").file(".wh..wh.aufs", b"").file("a", b"x").unpack(&scratch).unwrap();
    let names: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a"]);
}

#[test]
fn a_layer_of_too_many_bytes_or_files_or_too_long_a_description_is_refused() {
    check_refused(Layer::new().file("a", &vec![0; 1 << 20]).file("b", b"x"), "for the bytes of a layer");
    let many = (0..11).fold(Layer::new(), |layer, n| layer.file(&n.to_string(), b""));
    check_refused(many, "for the files of a layer");
    let mut sparse = Layer::new();
    sparse.0.append(&sparse_header(1 << 32), &b""[..]).unwrap();
    check_refused(sparse, "for the bytes of a layer");
    let name = vec![b'n'; 5 << 20];
    check_refused(
        Layer::new().add(EntryType::GNULongName, "././@LongLink", "", &name),
        "more than a layer may hold",
    );
}

/// A file that is all hole.
fn sparse_header(real_size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[0] = b'a';
    let octal = format!("{real_size:011o}");
    gnu.realsize[..11].copy_from_slice(octal.as_bytes());
    gnu.sparse[0].offset[..11].copy_from_slice(octal.as_bytes());
    gnu.sparse[0].numbytes[..11].copy_from_slice(b"00000000000");
    header.set_cksum();
    header
}

fn xattr_names(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut list = [0_u8; 1024];
    // SAFETY: the name ends with NUL, the buffer is as long as stated.
    let length = unsafe { libc::llistxattr(path.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
    String::from_utf8_lossy(&list[..usize::try_from(length).unwrap()]).into_owned()
}

#[test]
fn an_implied_directory_looks_as_below() {
    let (below, scratch) = (Scratch::new(), Scratch::new());
    fs::create_dir(below.path().join("d")).unwrap();
    fs::set_permissions(below.path().join("d"), fs::Permissions::from_mode(0o711)).unwrap();
    let bytes = Layer::new().file("d/f", b"x").0.into_inner().unwrap();
    unpack(&bytes[..], scratch.path(), &[below.path().to_owned()], Bounds::new(1 << 20, 100)).unwrap();
    assert_eq!(fs::metadata(scratch.path().join("d")).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn the_digest_covers_what_follows_the_end_marker() {
    let (one, two) = (Scratch::new(), Scratch::new());
    let bytes = Layer::new().file("a", b"x").0.into_inner().unwrap();
    let padded = [&bytes[..], &[0; 5000]].concat();
    let expected = format!("sha256:{}", hex::encode(Sha256::digest(&padded)));
    let bounds = Bounds::new(1 << 20, 100);
    assert_eq!(unpack(&padded[..], one.path(), &[], bounds).unwrap(), expected);
    assert_ne!(unpack(&bytes[..], two.path(), &[], bounds).unwrap(), expected);
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
