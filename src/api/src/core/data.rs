//! What ConfigMap and Secret have in common: keys, total size, immutability.

use std::collections::BTreeMap;

use machinery::field::{Error, ErrorList, Path};
use machinery::names;

use crate::checks::each;

/// The most bytes that all values together may have.
pub(super) const MAX_SIZE: usize = 1024 * 1024;

/// Every key must be usable as a file name.
pub(super) fn keys<V>(entries: Option<&BTreeMap<String, V>>, path: &Path) -> ErrorList {
    let keys = entries.into_iter().flatten().map(|(key, _)| key);
    keys.flat_map(|key| each(&path.key(key), key.as_str(), names::config_map_key(key))).collect()
}

/// Bytes of all values.
pub(super) fn size<V>(entries: Option<&BTreeMap<String, V>>, length: impl Fn(&V) -> usize) -> usize {
    entries.into_iter().flatten().map(|(_, value)| length(value)).sum()
}

/// An error unless the field `name` of an immutable object stayed as it was.
pub(super) fn immutable(unchanged: bool, name: &str) -> Option<Error> {
    let detail = "field is immutable when `immutable` is set";
    (!unchanged).then(|| Error::forbidden(&Path::new(name), detail))
}
