//! The objects that the Go module `k8s.io/api` publishes, one of every kind with every field set.

use std::fs;
use std::path::{Path, PathBuf};

use coxswain_machinery::gvk::GroupVersionKind;
use coxswain_machinery::json;
use coxswain_machinery::schema;

/// Files are called `<group>.<version>.<kind>.json`; not every object in them says what it is.
pub(crate) fn kind_of(file: &Path) -> GroupVersionKind {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let (rest, kind) = name.rsplit_once('.').unwrap();
    let (group, version) = rest.rsplit_once('.').unwrap();
    GroupVersionKind::new(if group == "core" { "" } else { group }, version, kind)
}

#[track_caller]
fn check(file: &Path) {
    let bytes = fs::read(file).unwrap();
    let parsed = json::parse(&bytes).unwrap();
    let kind = kind_of(file);
    let type_ = schema::of(&kind).unwrap_or_else(|| panic!("{kind} has no type"));
    assert_eq!(schema::strict_errors(&bytes, type_), [""; 0], "{kind}");
    assert_eq!(schema::check_types(&parsed.tree, type_), Ok(()), "{kind}");
    let canonical = String::from_utf8(schema::canonical(&parsed.tree, type_)).unwrap();
    let published = parsed.tree.to_string();
    let differs = canonical.bytes().zip(published.bytes()).position(|(a, b)| a != b).unwrap_or(0);
    let near = |text: &str| text[differs.saturating_sub(80)..(differs + 80).min(text.len())].to_owned();
    assert!(canonical == published, "{kind}:\n{}\n{}", near(&canonical), near(&published));
}

/// The files.
pub(crate) fn published() -> Vec<PathBuf> {
    let files = published_in("k8s.io/api", "testdata/HEAD");
    assert!(files.len() > 150, "{}", files.len());
    files
}

/// The files in JSON that a Go module has in a folder.
pub(crate) fn published_in(module: &str, folder: &str) -> Vec<PathBuf> {
    let folder = testing::upstream::module(module).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    files
}

#[test]
fn every_published_object_is_canonical() {
    published().iter().for_each(|file| check(file));
}
