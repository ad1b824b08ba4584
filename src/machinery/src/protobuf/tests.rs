use super::*;
use crate::json;

fn kind(text: &str) -> GroupVersionKind {
    GroupVersion::new("", "v1").with_kind(text)
}

/// An envelope around a message.
fn wrap(api_version: &str, kind: &str, message: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.append(MAGIC);
    writer.message(1, |writer| {
        writer.string(1, api_version);
        writer.string(2, kind);
    });
    writer.bytes(2, message);
    writer.into_bytes()
}

#[track_caller]
fn check(message: &[u8], expected: Result<&str, &str>) {
    let bytes = wrap("v1", "ConfigMap", message);
    let decoded = decode(&bytes, &kind("Pod")).map(|(_, tree)| tree.to_string());
    let head = r#"{"kind":"ConfigMap","apiVersion":"v1""#;
    let expected = expected.map(|rest| format!("{head}{rest}}}")).map_err(str::to_owned);
    assert_eq!(decoded.map_err(|error| error.to_string()), expected);
}

#[test]
fn zeros_that_json_would_not_have_are_left_out() {
    // metadata: {name: "", labels: {"a": ""}}, data: {"k": "v"}
    check(
        b"\x0a\x09\x0a\x00\x5a\x05\x0a\x01a\x12\x00\x12\x06\x0a\x01k\x12\x01v",
        Ok(r#","metadata":{"labels":{"a":""}},"data":{"k":"v"}"#),
    );
}

#[test]
fn the_last_one_counts_and_messages_merge() {
    // Twice metadata: name and namespace, then another name. Twice the key "k".
    check(
        b"\x0a\x06\x0a\x01a\x1a\x01n\x12\x06\x0a\x01k\x12\x01v\x0a\x03\x0a\x01b\x12\x06\x0a\x01k\x12\x01w",
        Ok(r#","metadata":{"name":"b","namespace":"n"},"data":{"k":"w"}"#),
    );
}

#[test]
fn unknown_fields_and_groups_are_skipped() {
    // 100: varint 1; 101: group with a nested group; 102: fixed32; immutable: true
    check(
        b"\xa0\x06\x01\xab\x06\xb3\x06\xb4\x06\xac\x06\xb5\x06\x01\x02\x03\x04\x20\x01",
        Ok(r#","immutable":true"#),
    );
}

#[test]
fn malformed_messages_are_refused() {
    check(b"\x0a", Err("unexpected EOF"));
    check(b"\x0a\x05\x0a", Err("unexpected EOF"));
    check(
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        Err("proto: negative length found during unmarshaling"),
    );
    check(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Err("proto: integer overflow"));
    check(b"\x00", Err("proto: illegal tag 0"));
    check(b"\x0f", Err("proto: illegal wireType 7"));
    check(b"\x0c", Err("proto: unexpected end of group"));
    check(b"\x08\x01", Err("proto: wrong wireType = 0 for field metadata"));
    check(b"\x0a\x03\x0a\x01\xff", Err("proto: field name contains invalid UTF-8"));
}

#[test]
fn what_is_no_envelope_is_refused() {
    let check = |bytes: &[u8], expected: Malformed| {
        assert_eq!(decode(bytes, &kind("Pod")), Err(Error::Envelope(expected)));
    };
    check(b"", Malformed::Empty);
    check(b"{\"kind\":\"Pod\"}", Malformed::Prefix);
    check(b"k8s\0", Malformed::NoBody);
    check(b"k8s\0\x0a\x7f", Malformed::Truncated);
}

#[test]
fn the_kind_is_the_envelopes_or_else_the_expected() {
    let check = |api_version: &str, name: &str, expected: Result<&str, &str>| {
        let bytes = wrap(api_version, name, b"");
        let decoded =
            decode(&bytes, &kind("Pod")).map(|(kind, _)| format!("{} {}", kind.api_version(), kind.kind));
        assert_eq!(decoded.as_deref().map_err(ToString::to_string), expected.map_err(str::to_owned));
    };
    check("", "", Ok("v1 Pod"));
    check("apps/v1", "Deployment", Ok("apps/v1 Deployment"));
    check("apps/v1", "DeleteOptions", Ok("apps/v1 DeleteOptions"));
    check("x/v1", "Y", Err("no kind \"Y\" is registered for version \"x/v1\""));
    check("meta.k8s.io/v1", "Table", Err("no kind \"Table\" is registered for version \"meta.k8s.io/v1\""));
    check("a/b/c", "Pod", Err("unexpected GroupVersion string: a/b/c"));
}

#[test]
fn numbers_may_be_packed() {
    // spec.securityContext.supplementalGroups: 1, then packed 2 and 300
    let bytes = wrap("v1", "Pod", b"\x12\x09\x72\x07\x20\x01\x22\x03\x02\xac\x02");
    let (_, tree) = decode(&bytes, &kind("Pod")).unwrap();
    assert_eq!(
        tree.pointer(&["spec", "securityContext"]).unwrap().to_string(),
        r#"{"supplementalGroups":[1,2,300]}"#
    );
}

#[test]
fn nesting_is_limited() {
    let mut schema = Vec::new();
    for _ in 0..MAX_DEPTH {
        let mut writer = Writer::default();
        // not: {…}
        writer.bytes(28, &schema);
        schema = writer.into_bytes();
    }
    let mut writer = Writer::default();
    writer.message(2, |writer| {
        writer.message(7, |writer| writer.message(4, |writer| writer.bytes(1, &schema)));
    });
    let bytes = wrap("apiextensions.k8s.io/v1", "CustomResourceDefinition", &writer.into_bytes());
    let error = decode(&bytes, &kind("Pod")).unwrap_err();
    assert_eq!(error.to_string(), "exceeded max depth");
}

#[test]
fn no_damage_to_an_object_makes_the_decoder_panic() {
    let pod = br#"{"metadata":{"name":"a","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"a":"b"}},"spec":{
        "containers":[{"name":"c","resources":{"limits":{"cpu":"1"}},"livenessProbe":{"httpGet":{"port":"x"}}}],
        "securityContext":{"supplementalGroups":[1,-2]},"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}]}}"#;
    let parsed = json::parse(pod).unwrap();
    let of = schema::of(&kind("Pod")).unwrap();
    let bytes = encode(&parsed.tree, of, &kind("Pod"));
    for place in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[place] ^ 1, bytes[place] ^ 7] {
            let mut damaged = bytes.clone();
            damaged[place] = value;
            // Either is fine, as long as it answers.
            drop(decode(&damaged, &kind("Pod")));
        }
        drop(decode(&bytes[..place], &kind("Pod")));
    }
}
