//! What is mounted on this machine (`/proc/self/mountinfo`, proc(5)). Mounts nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{At, Result};

/// The mount points at and below a directory, the innermost first; one that is mounted over stands there more than once.
///
/// # Errors
/// When the table cannot be read.
pub fn mounts_below(directory: &Path) -> Result<Vec<PathBuf>> {
    // The table has the paths as they are, without links.
    let Ok(directory) = directory.canonicalize() else { return Ok(Vec::new()) };
    let table = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(table).at("read", table)?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let mut mounts: Vec<PathBuf> = points.filter(|point| point.starts_with(&directory)).collect();
    mounts.reverse();
    Ok(mounts)
}

/// The kernel writes space, tab, newline and backslash in a path as a backslash and three octal digits.
fn unescaped(path: &str) -> PathBuf {
    let mut pieces = path.split('\\');
    let mut plain = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let escape = piece.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.extend(escape);
        plain.extend_from_slice(&piece.as_bytes()[if escape.is_some() { 3 } else { 0 }..]);
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_read_as_the_kernel_escapes_it() {
        let check = |escaped: &str, plain: &str| assert_eq!(unescaped(escaped), Path::new(plain));
        check("/var/lib/coxswain", "/var/lib/coxswain");
        check(r"/my\040data\134/x\011", "/my data\\/x\t");
    }
}
