//! Objects go into their stored form and come back the same.

use coxswain_api::{Descriptor, builtin};

fn find(group: &str, kind: &str) -> Descriptor {
    let is_it = |found: &Descriptor| found.gvk.group == group && found.gvk.kind == kind;
    builtin().into_iter().find(is_it).expect(kind)
}

/// The bytes as the store writes them, at revision 7.
fn stored(kind: &Descriptor, json: &str) -> String {
    let parsed = machinery::json::parse(json.as_bytes()).expect(json);
    let object = kind.decode(&parsed.tree).expect(json);
    let (head, tail) = kind.encode(&object);
    String::from_utf8([head, b"7".to_vec(), tail].concat()).expect("JSON is UTF-8")
}

#[test]
fn a_minimal_object_of_every_kind_comes_back() {
    for kind in builtin() {
        let json = format!(
            r#"{{"apiVersion":"{}","kind":"{}","metadata":{{"name":"a"}}}}"#,
            kind.gvk.api_version(),
            kind.gvk.kind
        );
        let again = |bytes: &str| {
            let object = kind.decode_stored(bytes.as_bytes()).expect("stored bytes");
            assert_eq!(object.meta().name.as_deref(), Some("a"), "{bytes}");
            assert_eq!(object.meta().resource_version.as_deref(), Some("7"), "{bytes}");
            let (head, tail) = kind.encode(&object);
            String::from_utf8([head, b"7".to_vec(), tail].concat()).expect("JSON is UTF-8")
        };
        // The first time an absent spec becomes an empty one.
        let bytes = again(&stored(&kind, &json));
        assert_eq!(again(&bytes), bytes);
    }
}

#[test]
fn events_of_both_groups_are_the_same_objects() {
    let (core, events) = (find("", "Event"), find("events.k8s.io", "Event"));
    assert_eq!(core.storage, events.storage);
    assert!(core.is_stored_as_served() && !events.is_stored_as_served());
    let bytes = stored(&core, r#"{"metadata":{"name":"a"},"involvedObject":{"name":"p"},"message":"hello"}"#);
    let served = events.convert(bytes.as_bytes()).expect("stored bytes");
    let served = machinery::json::parse(&served).expect("JSON").tree.into_owned();
    assert_eq!(served.get("apiVersion").and_then(|value| value.as_str()), Some("events.k8s.io/v1"));
    assert_eq!(served.get("note").and_then(|value| value.as_str()), Some("hello"));
    assert_eq!(served.pointer(&["regarding", "name"]).and_then(|value| value.as_str()), Some("p"));
}

#[test]
fn attributes_are_read_from_stored_bytes() {
    let attributes = |kind: &Descriptor, json: &str| {
        let attributes = kind.attributes(json.as_bytes()).expect("stored bytes");
        let pairs = |list: Vec<(String, String)>| {
            list.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        (attributes.uid, pairs(attributes.labels), pairs(attributes.fields))
    };
    let pod = r#"{"metadata":{"name":"p","namespace":"n","uid":"u","labels":{"b":"2","a":"1"}},
        "spec":{"nodeName":"x","containers":[{"name":"nodeName"}]},"status":{"phase":"Running"}}"#;
    let (uid, labels, fields) = attributes(&find("", "Pod"), pod);
    assert_eq!(uid, "u");
    assert_eq!(labels, ["a=1", "b=2"]);
    assert_eq!(
        fields,
        [
            "metadata.name=p",
            "metadata.namespace=n",
            "spec.hostNetwork=false",
            "spec.nodeName=x",
            "spec.restartPolicy=",
            "spec.schedulerName=",
            "spec.serviceAccountName=",
            "status.nominatedNodeName=",
            "status.phase=Running",
            "status.podIP=",
        ]
    );
    let (_, _, fields) =
        attributes(&find("", "Node"), r#"{"metadata":{"name":"a"},"spec":{"unschedulable":true}}"#);
    assert_eq!(fields, ["metadata.name=a", "spec.unschedulable=true"]);
    let event = r#"{"metadata":{"name":"a"},"involvedObject":{"kind":"Pod"},"reportingComponent":"me"}"#;
    let (_, _, fields) = attributes(&find("", "Event"), event);
    assert!(
        fields.contains(&"source=me".to_owned()) && fields.contains(&"involvedObject.kind=Pod".to_owned())
    );
}

#[test]
fn a_wrong_type_is_a_bad_request_in_upstreams_words() {
    let parsed = machinery::json::parse(br#"{"metadata":{"name":1}}"#).expect("JSON");
    let status = find("", "Pod").decode(&parsed.tree).expect_err("a number is no name");
    assert_eq!(status.code(), 400);
    assert_eq!(
        status.message(),
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"
    );
}

#[test]
fn amounts_are_numbers_or_text_and_are_stored_in_canonical_form() {
    let pod = |cpu: &str| {
        format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"containers":[{{"name":"c","resources":{{"requests":{{"cpu":{cpu}}}}}}}]}}}}"#
        )
    };
    let kind = find("", "Pod");
    assert!(stored(&kind, &pod("1")).contains(r#""requests":{"cpu":"1"}"#));
    assert!(stored(&kind, &pod("\"1500m\"")).contains(r#""requests":{"cpu":"1500m"}"#));
    assert!(stored(&kind, &pod("\"1000m\"")).contains(r#""requests":{"cpu":"1"}"#));
    let wrong = pod("\"1x\"");
    let parsed = machinery::json::parse(wrong.as_bytes()).expect("JSON");
    let status = kind.decode(&parsed.tree).expect_err("no amount");
    let expected =
        r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    assert!(status.message().ends_with(expected), "{}", status.message());
}
