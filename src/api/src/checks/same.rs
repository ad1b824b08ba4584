//! Whether two values mean the same: absent and empty are equal, quantities count by value (upstream:
//! `apiequality.Semantic.DeepEqual`). Preparation asks this before it bumps a generation, validation before it refuses
//! a change.

use std::collections::BTreeMap;

use machinery::{json, schema};
use serde::Serialize;

/// Whether two values of the API type `name` (such as `io.k8s.api.core.v1.PodSpec`) mean the same: whether they would
/// be stored as the same bytes.
pub(crate) fn same<T: Serialize + PartialEq>(name: &str, one: &T, other: &T) -> bool {
    one == other || canonical(name, one) == canonical(name, other)
}

fn canonical<T: Serialize>(name: &str, value: &T) -> Vec<u8> {
    let type_ = schema::named(name).expect("the schema facts cover every type that a built-in kind holds");
    schema::stored(&json::to_tree(value).expect("API values are plain data"), type_)
}

/// Whether two maps hold the same; absent is empty.
pub(crate) fn same_map<V: PartialEq>(
    one: Option<&BTreeMap<String, V>>,
    other: Option<&BTreeMap<String, V>>,
) -> bool {
    one.into_iter().flatten().eq(other.into_iter().flatten())
}
