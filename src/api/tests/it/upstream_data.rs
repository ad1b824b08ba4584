//! The objects that upstream publishes with every field set (`testdata/HEAD` of the Go module `k8s.io/api`): what goes
//! through our types must come out again, byte for byte in canonical form.

use coxswain_api::builtin;

#[test]
fn no_kind_loses_a_field() {
    let folder = testing::upstream::module("k8s.io/api").join("testdata/HEAD");
    for kind in builtin() {
        let group = if kind.gvk.group.is_empty() { "core" } else { kind.gvk.group.as_str() };
        let path = folder.join(format!("{group}.{}.{}.json", kind.gvk.version, kind.gvk.kind));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tree = machinery::json::parse(&bytes).expect("upstream's JSON").tree;
        let object = kind.decode(&tree).unwrap_or_else(|status| panic!("{kind:?}: {}", status.message()));
        let expected = machinery::schema::canonical(&tree, kind.schema);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON is UTF-8");
        assert_eq!(text(kind.encode_whole(&object)), text(expected), "{kind:?}");
    }
}
