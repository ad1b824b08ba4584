//! Event of `events.k8s.io`: the newer shape of the core group's Event, kept in the same storage. Fields are renamed on
//! the way in and out (upstream: `pkg/apis/events/v1/conversion.go`); what both have in common is said there.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::gvk::GroupVersionKind;
use machinery::json::{self, Tree};
use machinery::table::Column;
use serde_json::Value;

use crate::checks;
use crate::core::event as stored;
use crate::kind::{Kind, Propagation, Selectable};

impl Kind for Event {
    const SINGULAR: &'static str = "event";
    const SHORT_NAMES: &'static [&'static str] = &["ev"];
    const NAMESPACED: bool = true;
    const STORED_AS: Option<(&'static str, &'static str)> = Some(("", "events"));
    const ALLOW_CREATE_ON_UPDATE: bool = true;
    const DEFAULT_PROPAGATION: Propagation = Propagation::Unsupported;
    const FIELDS: &'static [Selectable] = stored::FIELDS;
    const FIELD_ALIASES: &'static [(&'static str, &'static str)] = &[
        ("regarding.kind", "involvedObject.kind"),
        ("regarding.namespace", "involvedObject.namespace"),
        ("regarding.name", "involvedObject.name"),
        ("regarding.uid", "involvedObject.uid"),
        ("regarding.apiVersion", "involvedObject.apiVersion"),
        ("regarding.resourceVersion", "involvedObject.resourceVersion"),
        ("regarding.fieldPath", "involvedObject.fieldPath"),
        ("reportingController", "reportingComponent"),
    ];

    fn is_selectable(label: &str) -> bool {
        matches!(label, "reason" | "type")
    }

    fn validate_create(&self) -> ErrorList {
        self.validate()
    }

    /// The metadata comes in between.
    fn validate(&self) -> ErrorList {
        let event = into_stored(self.clone());
        let mut errors = stored::validate(&event, "reportingController");
        errors.extend(checks::metadata(self));
        errors.extend(validate_series(self.series.as_ref()));
        if event.event_time.is_none() {
            errors.push(Error::required(&Path::new("eventTime"), ""));
        }
        let type_ = checks::text(&event.type_);
        if !matches!(type_, "Normal" | "Warning") {
            let detail = format!("has invalid value: {type_}");
            errors.push(Error::invalid(&Path::new("type"), "", detail));
        }
        let source = event.source.unwrap_or_default();
        let is_set = |text: &Option<String>| !checks::text(text).is_empty();
        let legacy = [
            ("firstTimestamp", event.first_timestamp.is_some()),
            ("lastTimestamp", event.last_timestamp.is_some()),
            ("count", event.count.unwrap_or_default() != 0),
            ("source", is_set(&source.component) || is_set(&source.host)),
        ];
        for (name, _) in legacy.into_iter().filter(|(_, is_set)| *is_set) {
            errors.push(Error::invalid(&Path::new(name), "", "needs to be unset"));
        }
        errors
    }

    /// Only the series may go on.
    fn validate_update(&self, old: &Self) -> ErrorList {
        let (new_event, old_event) = (into_stored(self.clone()), into_stored(old.clone()));
        let mut errors = stored::validate(&new_event, "reportingController");
        errors.extend(checks::metadata_update(self, old));
        if self.series != old.series {
            errors.extend(validate_series(self.series.as_ref()));
        }
        errors.extend(validate_unchanged(&new_event, &old_event));
        errors
    }

    fn columns() -> Vec<Column> {
        stored::columns()
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        stored::row(&into_stored(self.clone()), now)
    }

    fn from_storage(tree: &Tree<'_>) -> Result<Self, json::Error> {
        json::from_tree(tree).map(from_stored)
    }

    fn to_storage(&self) -> Result<Tree<'static>, json::SerializeError> {
        json::to_tree(&into_stored(self.clone()))
    }

    fn storage_kind() -> GroupVersionKind {
        GroupVersionKind::of::<core::Event>()
    }
}

fn validate_series(series: Option<&EventSeries>) -> ErrorList {
    let is_short = series.is_some_and(|series| series.count < 2);
    if is_short {
        vec![Error::invalid(&Path::new("series.count"), "", "should be at least 2")]
    } else {
        vec![]
    }
}

fn validate_unchanged(new: &core::Event, old: &core::Event) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut keep = |name: &str, is_same: bool, value: Tree<'static>| {
        if !is_same {
            errors.push(Error::invalid(&Path::new(name), value, "field is immutable"));
        }
    };
    macro_rules! keep_text {
        ($($field:ident as $name:literal),*) => {
            $({
                let (new, old) = (checks::text(&new.$field), checks::text(&old.$field));
                keep($name, new == old, new.to_owned().into());
            })*
        };
    }
    macro_rules! keep_time {
        ($($field:ident as $name:literal),*) => {
            $(keep($name, new.$field == old.$field, shown(&new.$field));)*
        };
    }
    let reference = |value: &core::ObjectReference| checks::internal(REFERENCE, value);
    keep("involvedObject", new.involved_object == old.involved_object, reference(&new.involved_object));
    keep_text!(reason as "reason", message as "message");
    let source = new.source.clone().unwrap_or_default();
    let is_same = checks::same(SOURCE, &source, &old.source.clone().unwrap_or_default());
    keep("source", is_same, checks::internal(SOURCE, &source));
    keep_time!(first_timestamp as "firstTimestamp", last_timestamp as "lastTimestamp");
    let count = new.count.unwrap_or_default();
    keep("count", count == old.count.unwrap_or_default(), Tree::Int(count.into()));
    keep_text!(reason as "reason", type_ as "type");
    keep_time!(event_time as "eventTime");
    keep_text!(action as "action");
    keep("related", new.related == old.related, new.related.as_ref().map_or(Tree::Null, reference));
    keep_text!(reporting_component as "reportingController", reporting_instance as "reportingInstance");
    errors
}

const REFERENCE: &str = "io.k8s.api.core.v1.ObjectReference";
const SOURCE: &str = "io.k8s.api.core.v1.EventSource";

fn shown<T: serde::Serialize>(time: &T) -> Tree<'static> {
    json::to_tree(time).expect("a time is plain data")
}

fn into_stored(event: Event) -> core::Event {
    core::Event {
        metadata: event.metadata,
        involved_object: event.regarding.unwrap_or_default(),
        reason: event.reason,
        message: event.note,
        source: event.deprecated_source,
        first_timestamp: event.deprecated_first_timestamp,
        last_timestamp: event.deprecated_last_timestamp,
        count: event.deprecated_count,
        type_: event.type_,
        event_time: event.event_time,
        series: event.series.map(|series| core::EventSeries {
            count: Some(series.count),
            last_observed_time: Some(series.last_observed_time),
        }),
        action: event.action,
        related: event.related,
        reporting_component: event.reporting_controller,
        reporting_instance: event.reporting_instance,
    }
}

fn from_stored(event: core::Event) -> Event {
    Event {
        metadata: event.metadata,
        regarding: Some(event.involved_object),
        reason: event.reason,
        note: event.message,
        deprecated_source: event.source,
        deprecated_first_timestamp: event.first_timestamp,
        deprecated_last_timestamp: event.last_timestamp,
        deprecated_count: event.count,
        type_: event.type_,
        event_time: event.event_time,
        // A series without a time cannot be written through this group; the core group's is left out here.
        series: event.series.and_then(|series| {
            Some(EventSeries {
                count: series.count.unwrap_or_default(),
                last_observed_time: series.last_observed_time?,
            })
        }),
        action: event.action,
        related: event.related,
        reporting_controller: event.reporting_component,
        reporting_instance: event.reporting_instance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, errors_of_update, object};

    const EVENT: &str = r#"{"metadata":{"name":"e","namespace":"a"},"eventTime":"2026-01-01T00:00:00.000000Z","type":"Normal",
        "regarding":{"kind":"Pod","name":"p","namespace":"a"},"note":"hello","reason":"Why","action":"Do",
        "reportingController":"me","reportingInstance":"me-0"}"#;

    #[test]
    fn it_is_stored_in_the_core_shape_and_comes_back_the_same() {
        let event: Event = object(EVENT);
        let tree = event.to_storage().unwrap();
        assert_eq!(tree.pointer(&["involvedObject", "name"]).and_then(Tree::as_str), Some("p"));
        assert_eq!(tree.get("message").and_then(Tree::as_str), Some("hello"));
        assert_eq!(Event::from_storage(&tree).unwrap(), event);
    }

    #[test]
    fn the_new_shape_is_strict() {
        errors_of::<Event>(EVENT, &[]);
        let legacy = EVENT.replace("\"note\"", "\"deprecatedCount\":1,\"note\"").replace("Normal", "Odd");
        errors_of::<Event>(
            &legacy,
            &[
                "type: Invalid value: \"\": has invalid value: Odd",
                "count: Invalid value: \"\": needs to be unset",
            ],
        );
    }

    #[test]
    fn only_the_series_goes_on() {
        let series = r#""series":{"count":2,"lastObservedTime":"2026-01-01T00:00:01.000000Z"},"note""#;
        errors_of_update::<Event>(EVENT, &EVENT.replace("\"note\"", series), &[]);
        errors_of_update::<Event>(
            EVENT,
            &EVENT.replace("hello", "bye"),
            &["message: Invalid value: \"bye\": field is immutable"],
        );
    }
}
