//! What commands do where what they say cannot be written.

use std::fs::OpenOptions;
use std::process::{Command, Output, Stdio};

use crate::cluster::binary;
use crate::host::both;

/// A command that says something and needs no cluster.
fn list_into(output: impl Into<Stdio>) -> Output {
    let mut list = Command::new(binary());
    list.args(["snapshot", "ls", "/proc/self/fd"]).stdout(output).stderr(Stdio::piped());
    list.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let listed = list_into(writer);
    assert!(listed.status.success() && listed.stderr.is_empty(), "{}: {}", listed.status, both(&listed));
}

#[test]
fn a_full_disk_is_a_failure_that_is_told() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let listed = list_into(full);
    assert_eq!(listed.status.code(), Some(1));
    let told = both(&listed);
    assert!(told.contains("cannot write to standard output: No space left on device"), "{told}");
}
