use super::*;
use crate::field::Path;
use crate::names;

fn meta(json: &str) -> ObjectMeta {
    serde_json::from_str(json).unwrap()
}

#[track_caller]
fn check(json: &str, errors: &[&str]) {
    let rule = |name: &str, _| names::dns1123_label(name);
    let found = validate_object_meta(&meta(json), true, rule, &Path::new("metadata"));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, errors);
}

#[track_caller]
fn check_update(new: &str, old: &str, errors: &[&str]) {
    let found = validate_object_meta_update(&meta(new), &meta(old), &Path::new("metadata"));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, errors);
}

#[test]
fn good_metadata_passes() {
    check(
        r#"{"name":"a","namespace":"b","labels":{"x/y":"z"},"annotations":{"X/Y":"anything at all"}}"#,
        &[],
    );
}

#[test]
fn a_name_and_a_namespace_are_needed() {
    check(
        "{}",
        &[
            "metadata.name: Required value: name or generateName is required",
            "metadata.namespace: Required value",
        ],
    );
}

#[test]
fn only_one_owner_may_control() {
    let owner = r#"{"apiVersion":"v1","kind":"K","name":"n","uid":"u","controller":true}"#;
    let json = format!(r#"{{"name":"a","namespace":"b","ownerReferences":[{owner},{owner}]}}"#);
    let rule = |name: &str, _| names::dns1123_label(name);
    let found = validate_object_meta(&meta(&json), true, rule, &Path::new("metadata"));
    assert_eq!(found.len(), 1);
    assert!(found[0].detail.ends_with("in references for K/n and K/n"));
}

#[test]
fn updates_keep_what_identifies_the_object() {
    check_update(
        r#"{"name":"b","resourceVersion":"1"}"#,
        r#"{"name":"a"}"#,
        &["metadata.name: Invalid value: \"b\": field is immutable"],
    );
    check_update(
        "{}",
        "{}",
        &["metadata.resourceVersion: Invalid value: \"\": must be specified for an update"],
    );
    check_update(
        r#"{"resourceVersion":"1","finalizers":["a/b"],"deletionTimestamp":"2026-01-01T00:00:00Z"}"#,
        r#"{"deletionTimestamp":"2026-01-01T00:00:00Z"}"#,
        &[
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a/b\"}",
        ],
    );
}

#[test]
fn generated_names_fit_and_differ() {
    let name = generate_name(&"x".repeat(80));
    assert_eq!(name.len(), 63);
    assert_ne!(generate_name("a-"), generate_name("a-"));
    assert!(names::dns1123_label(&generate_name("a-")).is_empty());
}

#[test]
fn uids_are_random_uuids() {
    let uid = new_uid();
    assert_eq!(uid.len(), 36);
    assert_eq!(uid.as_bytes()[14], b'4');
    assert!(b"89ab".contains(&uid.as_bytes()[19]));
    assert_ne!(uid, new_uid());
}
