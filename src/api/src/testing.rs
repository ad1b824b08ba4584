//! What the tests of kinds share: objects from short JSON, and comparison of error lists.

use k8s_openapi::jiff::Timestamp;
use machinery::field::ErrorList;

use crate::kind::{Context, Kind};

/// A context in which nothing matters.
pub(crate) fn context() -> Context {
    Context {
        user: String::new(),
        uid: String::new(),
        groups: vec![],
        extra: Default::default(),
        namespace: String::new(),
        now: Timestamp::UNIX_EPOCH,
        dry_run: false,
    }
}

/// An object out of JSON that may leave out `apiVersion` and `kind`.
pub(crate) fn object<T: Kind>(json: &str) -> T {
    let parsed = machinery::json::parse(json.as_bytes()).expect(json);
    machinery::json::from_tree(&parsed.tree).expect(json)
}

/// An object out of JSON with the name and version that every stored one has.
pub(crate) fn stored<T: Kind>(json: &str) -> T {
    let mut object = object(json);
    identify(&mut object);
    object
}

pub(crate) fn texts(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Checks that validation of an object, as it is after defaulting, answers exactly `expected`.
#[track_caller]
pub(crate) fn errors_of<T: Kind>(json: &str, expected: &[&str]) {
    let mut value = object::<T>(json);
    value.set_defaults();
    assert_eq!(texts(&value.validate()), expected);
}

/// Checks that validation of an update answers exactly `expected`.
#[track_caller]
pub(crate) fn errors_of_update<T: Kind>(old: &str, new: &str, expected: &[&str]) {
    let (mut old, mut new) = (object::<T>(old), object::<T>(new));
    old.set_defaults();
    new.set_defaults();
    for object in [&mut old, &mut new] {
        identify(object);
    }
    new.prepare_for_update(&old, &context());
    assert_eq!(texts(&new.validate_update(&old)), expected);
}

/// Gives an object what every stored one has.
fn identify<T: Kind>(object: &mut T) {
    let meta = object.metadata_mut();
    meta.name.get_or_insert_with(|| "a".to_owned());
    meta.resource_version.get_or_insert_with(|| "1".to_owned());
    if T::NAMESPACED {
        meta.namespace.get_or_insert_with(|| "default".to_owned());
    }
}

/// Checks what defaulting makes of an object.
#[track_caller]
pub(crate) fn defaulted<T: Kind + std::fmt::Debug>(json: &str, expected: &str) {
    let mut value = object::<T>(json);
    value.set_defaults();
    assert_eq!(value, object::<T>(expected));
}
