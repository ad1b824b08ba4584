//! Label selectors over the labels of objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use machinery::selector::label::Selector;

use crate::Error;

/// The selector that an object's spec holds.
pub(crate) fn selector(selector: &LabelSelector) -> Result<Selector, Error> {
    Selector::from_label_selector(Some(selector)).map_err(|error| Error::Unusable(error.to_string()))
}

/// Whether `selector` matches the labels in `meta`.
pub(crate) fn selects(selector: &Selector, meta: &ObjectMeta) -> bool {
    selector.matches_map(meta.labels.as_ref())
}

/// Whether a selector names nothing at all, which controllers take as selecting nothing.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    let no_labels = selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty);
    let no_expressions = selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
    no_labels && no_expressions
}
