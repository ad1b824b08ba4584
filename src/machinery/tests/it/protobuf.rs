//! The objects that Go modules publish in protobuf next to the same in JSON, one of every kind with every field set.

use std::fs;
use std::path::{Path, PathBuf};

use coxswain_machinery::{json, protobuf, schema};

use crate::round_trip::{kind_of, published_in};

/// Reads the protobuf, which must be the JSON; writes the JSON, which must be the protobuf.
#[track_caller]
fn check(file: &Path) {
    let kind = kind_of(file);
    let type_ = schema::of(&kind).unwrap_or_else(|| panic!("{kind} has no type"));
    let text = fs::read(file).unwrap();
    let bytes = fs::read(file.with_extension("pb")).unwrap();
    let parsed = json::parse(&text).unwrap();
    let (found, decoded) = protobuf::decode(&bytes, &kind).unwrap_or_else(|error| panic!("{kind}: {error}"));
    assert_eq!(found, kind);
    let canonical = |tree: &json::Tree<'_>| String::from_utf8(schema::canonical(tree, type_)).unwrap();
    assert_eq!(canonical(&decoded), canonical(&parsed.tree), "{kind}");
    // Nothing is left to the canonical encoding: the tree has what the JSON has.
    assert_eq!(decoded, parsed.tree, "{kind}");
    let encoded = protobuf::encode(&parsed.tree, type_, &kind);
    let differs = encoded.iter().zip(&bytes).position(|(a, b)| a != b);
    assert!(encoded == bytes, "{kind}: differs at {differs:?}, {} and {} bytes", encoded.len(), bytes.len());
}

fn check_all(files: &[PathBuf]) {
    files.iter().for_each(|file| check(file));
}

#[test]
fn every_published_object_is_the_same_in_protobuf() {
    check_all(&published_in("k8s.io/api", "testdata/HEAD"));
}

#[test]
fn schemas_of_custom_resources_are_the_same_in_protobuf() {
    let mut files = published_in("k8s.io/apiextensions-apiserver", "pkg/apis/testdata/HEAD");
    files.retain(|file| schema::of(&kind_of(file)).is_some());
    assert!(!files.is_empty());
    check_all(&files);
}
