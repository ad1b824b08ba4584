use super::*;
use crate::field::{Error, Path};
use crate::gvk::GroupKind;
use crate::json;

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

#[track_caller]
fn check(status: &Status, json: &str) {
    assert_eq!(String::from_utf8(status.to_json()).unwrap(), json);
    let parsed = json::parse(json.as_bytes()).unwrap();
    assert_eq!(Status::from_tree(&parsed.tree).as_ref(), Some(status));
}

#[test]
fn missing_object_is_told_as_upstream_tells_it() {
    check(
        &Status::not_found(&GroupResource::new("apps", "deployments"), "web"),
        concat!(
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
            r#""message":"deployments.apps \"web\" not found","reason":"NotFound","#,
            r#""details":{"name":"web","group":"apps","kind":"deployments"},"code":404}"#
        ),
    );
}

#[test]
fn invalid_object_lists_every_cause() {
    let errors = vec![Error::required(&Path::new("spec"), "why"), Error::invalid(&Path::new("x"), 1, "")];
    check(
        &Status::invalid(&GroupKind::new("", "Pod"), "p", &errors),
        concat!(
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
            r#""message":"Pod \"p\" is invalid: [spec: Required value: why, x: Invalid value: 1]","reason":"Invalid","#,
            r#""details":{"name":"p","kind":"Pod","causes":[{"reason":"FieldValueRequired","message":"Required value: why","field":"spec"},"#,
            r#"{"reason":"FieldValueInvalid","message":"Invalid value: 1","field":"x"}]},"code":422}"#
        ),
    );
}

#[test]
fn success_has_no_message() {
    let details = Details { uid: "u".to_owned(), ..Details::of(&pods(), "p") };
    check(
        &Status::success(Some(details)),
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"p","kind":"pods","uid":"u"},"code":200}"#,
    );
}

#[test]
fn forbidden_names_as_much_as_is_known() {
    let none = GroupResource::default();
    assert_eq!(Status::forbidden(&none, "", "no").message(), "forbidden: no");
    assert_eq!(Status::forbidden(&pods(), "", "no").message(), "pods is forbidden: no");
    assert_eq!(Status::forbidden(&pods(), "a", "no").message(), "pods \"a\" is forbidden: no");
}

#[test]
fn too_large_revision_asks_for_a_retry() {
    let status = Status::too_large_resource_version(9, 5, 1);
    assert_eq!(status.code(), 504);
    assert_eq!(status.message(), "Timeout: Too large resource version: 9, current: 5");
    assert_eq!(status.retry_after_seconds(), Some(1));
}
