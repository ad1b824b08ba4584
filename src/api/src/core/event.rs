//! Event (upstream: `pkg/registry/core/event`, `pkg/apis/core/validation/events.go`). This is also the stored form of
//! the events of `events.k8s.io`, which shares the validation and the table.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use machinery::field::{Error, ErrorList, Path};
use machinery::names;
use machinery::table::Column;
use serde_json::Value;

use crate::kind::{Kind, Propagation, Selectable};
use crate::{cells, checks};

const MAX_REPORTER: usize = 128;
const MAX_NOTE: usize = 1024;

impl Kind for Event {
    const SINGULAR: &'static str = "event";
    const SHORT_NAMES: &'static [&'static str] = &["ev"];
    const NAMESPACED: bool = true;
    const ALLOW_CREATE_ON_UPDATE: bool = true;
    const DEFAULT_PROPAGATION: Propagation = Propagation::Unsupported;
    const FIELDS: &'static [Selectable] = FIELDS;

    /// Older clients made names that are no subdomains.
    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::names::path_segment(name, prefix)
    }

    fn validate(&self) -> ErrorList {
        validate(self, "reportingComponent")
    }

    fn validate_create(&self) -> ErrorList {
        self.validate()
    }

    fn validate_update(&self, _old: &Self) -> ErrorList {
        self.validate()
    }

    fn columns() -> Vec<Column> {
        columns()
    }

    fn row(&self, now: Timestamp) -> Vec<Value> {
        row(self, now)
    }
}

/// The selectable fields of both groups, under the names of this one.
pub(crate) const FIELDS: &[Selectable] = &[
    Selectable::new("involvedObject.kind", &[&["involvedObject", "kind"]]),
    Selectable::new("involvedObject.namespace", &[&["involvedObject", "namespace"]]),
    Selectable::new("involvedObject.name", &[&["involvedObject", "name"]]),
    Selectable::new("involvedObject.uid", &[&["involvedObject", "uid"]]),
    Selectable::new("involvedObject.apiVersion", &[&["involvedObject", "apiVersion"]]),
    Selectable::new("involvedObject.resourceVersion", &[&["involvedObject", "resourceVersion"]]),
    Selectable::new("involvedObject.fieldPath", &[&["involvedObject", "fieldPath"]]),
    Selectable::new("reason", &[&["reason"]]),
    Selectable::new("reportingComponent", &[&["reportingComponent"]]),
    Selectable::new("source", &[&["source", "component"], &["reportingComponent"]]),
    Selectable::new("type", &[&["type"]]),
];

/// What holds of events of both groups; `reporter` is the field's name in the version of the request.
pub(crate) fn validate(event: &Event, reporter: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    let namespace = checks::text(&event.metadata.namespace);
    let about = checks::text(&event.involved_object.namespace);
    let (has_time, is_about_cluster) = (event.event_time.is_some(), about.is_empty());
    let matches = match (has_time, is_about_cluster) {
        (false, true) => matches!(namespace, "" | "default"),
        (false, false) => namespace == about,
        (true, true) => matches!(namespace, "default" | "kube-system"),
        (true, false) => true,
    };
    if !matches {
        let path = Path::new("involvedObject.namespace");
        errors.push(Error::invalid(&path, about, "does not match event.namespace"));
    }
    if has_time {
        errors.extend(validate_new_style(event, reporter));
    }
    errors.extend(checks::each(&Path::new("namespace"), namespace, names::dns1123_subdomain(namespace)));
    errors
}

/// An event with an `eventTime` says who reports it and what was done.
fn validate_new_style(event: &Event, reporter: &str) -> ErrorList {
    let mut errors = ErrorList::new();
    let path = Path::new(reporter);
    let component = checks::text(&event.reporting_component);
    if component.is_empty() {
        errors.push(Error::required(&path, ""));
    }
    errors.extend(checks::qualified_name(component, &path));
    let required = [
        ("reportingInstance", &event.reporting_instance),
        ("action", &event.action),
        ("reason", &event.reason),
    ];
    for (name, value) in required {
        if checks::text(value).is_empty() {
            errors.push(Error::required(&Path::new(name), ""));
        }
        errors.extend(at_most(value, MAX_REPORTER, name));
    }
    errors.extend(at_most(&event.message, MAX_NOTE, "message"));
    errors
}

fn at_most(value: &Option<String>, limit: usize, name: &str) -> Option<Error> {
    let detail = format!("can have at most {limit} characters");
    (checks::text(value).len() > limit).then(|| Error::invalid(&Path::new(name), "", detail))
}

pub(crate) fn columns() -> Vec<Column> {
    vec![
        cells::column("Last Seen", "string", "Time since it was last observed."),
        cells::column("Type", "string", "Normal or Warning."),
        cells::column("Reason", "string", "Why it was reported, in one word."),
        cells::column("Object", "string", "Object that it is about."),
        cells::wide("Subobject", "string", "Part of the object that it is about."),
        cells::wide("Source", "string", "Who reported it, and where."),
        cells::column("Message", "string", "What happened."),
        cells::wide("First Seen", "string", "Time since it was first observed."),
        cells::wide("Count", "string", "How often it was observed."),
        cells::name().wide(),
    ]
}

pub(crate) fn row(event: &Event, now: Timestamp) -> Vec<Value> {
    let since = |instant: Option<Timestamp>| {
        instant.map_or_else(|| "<unknown>".to_owned(), |instant| cells::since_instant(instant, now))
    };
    let event_time = event.event_time.as_ref().map(|time| time.0);
    let first = event.first_timestamp.as_ref().map(|time| time.0).or(event_time);
    let mut last = event.last_timestamp.as_ref().map(|time| time.0).or(first);
    let mut count = event.count.filter(|&count| count != 0).unwrap_or(1);
    if let Some(series) = &event.series {
        last = series.last_observed_time.as_ref().map(|time| time.0);
        count = series.count.unwrap_or_default();
    }
    vec![
        since(last).into(),
        cells::text(event.type_.as_deref()),
        cells::text(event.reason.as_deref()),
        target(event).into(),
        cells::text(event.involved_object.field_path.as_deref()),
        source(event).into(),
        Value::from(checks::text(&event.message).trim()),
        since(first).into(),
        Value::from(count),
        cells::name_of(&event.metadata),
    ]
}

fn target(event: &Event) -> String {
    let kind = checks::text(&event.involved_object.kind).to_lowercase();
    match checks::text(&event.involved_object.name) {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Event) -> String {
    let source = event.source.clone().unwrap_or_default();
    let first = |one: Option<String>, other: &Option<String>| {
        one.filter(|text| !text.is_empty()).unwrap_or_else(|| checks::text(other).to_owned())
    };
    let component = first(source.component, &event.reporting_component);
    let instance = first(source.host, &event.reporting_instance);
    if instance.is_empty() { component } else { format!("{component}, {instance}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{errors_of, object};

    #[test]
    fn an_event_lives_where_its_object_lives() {
        let check = errors_of::<Event>;
        check(r#"{"metadata":{"namespace":"a"},"involvedObject":{"namespace":"a"}}"#, &[]);
        check(r#"{"metadata":{"namespace":"default"},"involvedObject":{}}"#, &[]);
        check(
            r#"{"metadata":{"namespace":"a"},"involvedObject":{"namespace":"b"}}"#,
            &["involvedObject.namespace: Invalid value: \"b\": does not match event.namespace"],
        );
    }

    #[test]
    fn an_event_with_a_time_names_its_reporter() {
        errors_of::<Event>(
            r#"{"metadata":{"namespace":"a"},"involvedObject":{"namespace":"a"},"eventTime":"2026-01-01T00:00:00.000000Z",
            "reportingComponent":"me","reason":"Why"}"#,
            &["reportingInstance: Required value", "action: Required value"],
        );
    }

    #[test]
    fn the_table_shows_who_and_what() {
        let event = object::<Event>(
            r#"{"metadata":{"name":"e"},"type":"Normal","reason":"Started","message":" up\n","count":3,
            "involvedObject":{"kind":"Pod","name":"p","fieldPath":"spec"},"source":{"component":"kubelet","host":"n"},
            "firstTimestamp":"1970-01-01T00:00:00Z","lastTimestamp":"1970-01-01T00:00:55Z"}"#,
        );
        let now = Timestamp::from_second(60).unwrap();
        let expected =
            ["5s", "Normal", "Started", "pod/p", "spec", "kubelet, n", "up", "60s"].map(Value::from);
        assert_eq!(row(&event, now)[..8], expected);
        assert_eq!(row(&event, now)[8..], [Value::from(3), Value::from("e")]);
    }
}
