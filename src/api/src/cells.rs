//! Columns and cells that the tables of several kinds share (upstream: `pkg/printers/internalversion/printers.go`).
//!
//! A kind's `columns` and `row` are made of these; ages and durations are written as `kubectl` writes them. Knows no
//! particular kind.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use machinery::selector::label;
use machinery::table::{self, Column};
use serde_json::Value;

pub(crate) const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

/// A column that is always shown.
pub(crate) fn column(name: &str, type_: &str, description: &str) -> Column {
    Column::new(name, type_, description)
}

/// A column that is shown with `-o wide`.
pub(crate) fn wide(name: &str, type_: &str, description: &str) -> Column {
    column(name, type_, description).wide()
}

/// The object's name; clients recognise this column by its format.
pub(crate) fn name() -> Column {
    column("Name", "string", "Name of the object.").naming()
}

/// How long ago the object was created.
pub(crate) fn age() -> Column {
    column("Age", "string", "Time since the object was created.")
}

/// When the object was created, in full.
pub(crate) fn created_at() -> Column {
    column("Created At", "date", "Time at which the object was created.")
}

pub(crate) fn name_of(meta: &ObjectMeta) -> Value {
    text(meta.name.as_deref())
}

pub(crate) fn age_of(meta: &ObjectMeta, now: Timestamp) -> Value {
    since(meta.creation_timestamp.as_ref(), now).into()
}

pub(crate) fn created_at_of(meta: &ObjectMeta) -> Value {
    meta.creation_timestamp.as_ref().map_or(Value::Null, |time| Value::from(rfc3339(time)))
}

/// A string, empty where it is absent.
pub(crate) fn text(value: Option<&str>) -> Value {
    Value::from(value.unwrap_or_default())
}

/// A string, `<none>` where it is absent or empty.
pub(crate) fn text_or_none(value: Option<&str>) -> Value {
    Value::from(value.filter(|value| !value.is_empty()).unwrap_or(NONE))
}

/// A number, 0 where it is absent.
pub(crate) fn number(value: Option<i32>) -> Value {
    Value::from(value.unwrap_or_default())
}

/// How long ago, in kubectl's short form.
pub(crate) fn since(time: Option<&Time>, now: Timestamp) -> String {
    time.map_or_else(|| UNKNOWN.to_owned(), |time| since_instant(time.0, now))
}

/// How long ago an instant was, in kubectl's short form.
pub(crate) fn since_instant(instant: Timestamp, now: Timestamp) -> String {
    table::human(now.duration_since(instant).as_secs())
}

/// A label selector as kubectl shows it; `invalid` is shown for one that cannot be read.
pub(crate) fn selector(selector: Option<&LabelSelector>, invalid: &str) -> Value {
    text_or_none(Some(&plain_selector(selector, invalid)))
}

/// As [`selector()`], with an empty text for one that selects everything.
pub(crate) fn plain_selector(selector: Option<&LabelSelector>, invalid: &str) -> String {
    let parsed = label::Selector::from_label_selector(selector);
    parsed.map_or_else(|_| invalid.to_owned(), |selector| selector.to_string())
}

/// Labels as kubectl shows them, sorted by the whole text and not by the key: a dot comes before the equals sign.
pub(crate) fn labels(labels: Option<&BTreeMap<String, String>>) -> String {
    let mut pairs: Vec<String> =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort_unstable();
    if pairs.is_empty() { NONE.to_owned() } else { pairs.join(",") }
}

/// Names and images of a pod template's containers, each joined by commas.
pub(crate) fn containers(spec: Option<&PodSpec>) -> [Value; 2] {
    let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    let images: Vec<&str> =
        containers.iter().map(|container| container.image.as_deref().unwrap_or_default()).collect();
    [Value::from(names.join(",")), Value::from(images.join(","))]
}

fn rfc3339(time: &Time) -> String {
    time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first three of a list, and how many more there are.
pub(crate) fn first_three(all: &[String]) -> String {
    match all {
        [one, two, three, rest @ ..] if !rest.is_empty() => {
            format!("{one},{two},{three} + {} more...", rest.len())
        }
        few => few.join(","),
    }
}
