//! What is mounted on this machine. Mounts nothing.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::MOUNT_TABLE;

/// The mount points at and below a directory, the innermost first; one that is mounted over stands there more than once.
/// None where there is no such directory.
///
/// # Errors
/// When the table cannot be read.
pub fn below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    // The table has the paths as they are, without links.
    let Ok(directory) = directory.canonicalize() else { return Ok(Vec::new()) };
    let mut mounts = points(&std::fs::read(MOUNT_TABLE)?);
    mounts.retain(|point| point.starts_with(&directory));
    mounts.reverse();
    Ok(mounts)
}

/// The mount points in a table, in its order: later ones are mounted over or below earlier ones. Paths need not be text.
fn points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    let fields = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    fields.map(|field| PathBuf::from(OsString::from_vec(unescaped(field)))).collect()
}

/// The kernel writes space, tab, newline and backslash in a path as a backslash and three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digits =
            tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_escapes_them() {
        let check = |escaped: &[u8], plain: &[u8]| assert_eq!(unescaped(escaped), plain);
        check(b"/var/lib/coxswain", b"/var/lib/coxswain");
        check(br"/my\040data\134/x\011", b"/my data\\/x\t");
        check(b"/not\xfftext\\", b"/not\xfftext\\");
        let table = b"36 35 98:0 / /a\\040b rw - tmpfs tmpfs rw\n37 36 0:1 / /c rw - ext4 x rw\n";
        assert_eq!(points(table), [PathBuf::from("/a b"), PathBuf::from("/c")]);
    }

    #[test]
    fn what_is_mounted_below_proc_is_found_innermost_first() {
        let found = below(Path::new("/proc")).unwrap();
        assert_eq!(found.last().map(PathBuf::as_path), Some(Path::new("/proc")));
        assert_eq!(below(Path::new("/does/not/exist")).unwrap(), Vec::<PathBuf>::new());
    }
}
