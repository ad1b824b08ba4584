use super::*;
use crate::gvk::GroupVersionKind;
use crate::json;

fn pod() -> &'static Type {
    named("io.k8s.api.core.v1.Pod").unwrap()
}

#[track_caller]
fn check_canonical(name: &str, input: &str, expected: &str) {
    let parsed = json::parse(input.as_bytes()).unwrap();
    let bytes = canonical(&parsed.tree, named(name).unwrap());
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[track_caller]
fn check_type_error(name: &str, input: &str, error: &str) {
    let parsed = json::parse(input.as_bytes()).unwrap();
    assert_eq!(check_types(&parsed.tree, named(name).unwrap()).unwrap_err().to_string(), error);
}

#[test]
fn every_kind_has_a_type_and_every_type_its_parts() {
    let kinds = kinds();
    assert!(kinds.len() > 300, "{}", kinds.len());
    for kind in &kinds {
        visit(of(kind).unwrap_or_else(|| panic!("{kind}")), &mut vec![]);
    }
}

fn visit(type_: &'static Type, seen: &mut Vec<&'static str>) {
    if seen.contains(&type_.name) {
        return;
    }
    seen.push(type_.name);
    for field in &type_.fields {
        let mut shape = &field.shape;
        while let Some(element) = shape.element() {
            shape = element;
        }
        if let Some(type_) = shape.as_struct() {
            visit(type_, seen);
        }
    }
}

#[test]
fn kinds_are_found_by_group_version_and_kind() {
    let check = |group: &str, version: &str, kind: &str, name: Option<&str>| {
        let found = of(&GroupVersionKind::new(group, version, kind)).map(|type_| type_.name);
        assert_eq!(found, name, "{kind}");
    };
    check("", "v1", "Pod", Some("io.k8s.api.core.v1.Pod"));
    check("apps", "v1", "Deployment", Some("io.k8s.api.apps.v1.Deployment"));
    check("apps", "v1", "DeleteOptions", Some("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"));
    check("rbac.authorization.k8s.io", "v1", "Role", Some("io.k8s.api.rbac.v1.Role"));
    check("apps", "v1", "Pod", None);
    check("apps", "v9", "Deployment", None);
}

#[test]
fn facts_of_a_field_are_read() {
    let container = named("io.k8s.api.core.v1.Container").unwrap();
    let ports = container.field("ports").unwrap();
    assert_eq!((ports.number, ports.omit_empty, ports.pointer), (6, true, false));
    assert_eq!((ports.list_type, &*ports.list_map_keys), (ListType::Map, &["containerPort", "protocol"][..]));
    assert_eq!((ports.patch.merge, ports.patch_merge_key), (true, "containerPort"));
    assert_eq!(ports.shape.go_type(), "[]v1.ContainerPort");
    let volume = named("io.k8s.api.core.v1.Volume").unwrap();
    let host_path = volume.field("hostPath").unwrap();
    assert_eq!(
        (&*host_path.within, host_path.number),
        (&[Embedded { name: "VolumeSource", number: 2 }][..], 1)
    );
    let protocol = named("io.k8s.api.core.v1.ContainerPort").unwrap().field("protocol").unwrap();
    assert_eq!((protocol.default, &*protocol.allowed), ("\"TCP\"", &["SCTP", "TCP", "UDP"][..]));
}

#[test]
fn canonical_bytes_are_what_go_writes() {
    check_canonical(
        "io.k8s.api.core.v1.Pod",
        r#"{"kind":"Pod","unknown":1,"metadata":{"labels":{"b":"1","a":"<"},"creationTimestamp":null,"name":"p"},"apiVersion":"v1",
            "spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":1,"memory":"1024Mi"}},"stdin":false,"ports":[]}],"hostNetwork":true}}"#,
        concat!(
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"\u003c","b":"1"}},"#,
            r#""spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1","memory":"1Gi"}}}],"hostNetwork":true},"status":{}}"#
        ),
    );
    check_canonical(
        "io.k8s.api.apps.v1.Deployment",
        r#"{"spec":{"replicas":0}}"#,
        r#"{"metadata":{},"spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}"#,
    );
    check_canonical(
        "io.k8s.api.core.v1.PodCondition",
        r#"{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T03:04:05.5+01:00"}"#,
        r#"{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-01-02T02:04:05Z"}"#,
    );
    check_canonical("io.k8s.api.core.v1.ServicePort", r#"{"port":80}"#, r#"{"port":80,"targetPort":0}"#);
    check_canonical("io.k8s.api.core.v1.PodList", r#"{"items":[]}"#, r#"{"metadata":{},"items":[]}"#);
}

#[test]
fn the_hole_is_where_the_resource_version_goes() {
    for input in ["{}", r#"{"metadata":{"name":"p","resourceVersion":"7","uid":"u"}}"#] {
        let parsed = json::parse(input.as_bytes()).unwrap();
        let (head, tail) = canonical_with_hole(&parsed.tree, pod());
        assert!(head.ends_with(br#""resourceVersion":""#));
        let mut bytes = head;
        bytes.extend_from_slice(b"9");
        bytes.extend_from_slice(&tail);
        let filled = json::parse(&bytes).unwrap();
        assert_eq!(filled.tree.pointer(&["metadata", "resourceVersion"]).unwrap().as_str(), Some("9"));
        assert_eq!(canonical(&filled.tree, pod()), bytes);
    }
}

#[test]
fn unknown_and_duplicate_fields_are_named_as_upstream_names_them() {
    let input = br#"{"spec":{"foo":1,"containers":[{"name":"a","x":1},{"name":"b","name":"c","name":"d"}]},
        "bar":{"a":1,"a":2},"metadata":{"labels":{"a":"b","a":"c"}}}"#;
    assert_eq!(
        strict_errors(input, pod()),
        [
            r#"unknown field "spec.foo""#,
            r#"unknown field "spec.containers[0].x""#,
            r#"duplicate field "spec.containers[1].name""#,
            r#"unknown field "bar""#,
            r#"duplicate field "metadata.labels.a""#,
        ]
    );
}

#[test]
fn wrong_types_are_told_in_the_words_of_go() {
    let pod = "io.k8s.api.core.v1.Pod";
    check_type_error(pod, "[]", "json: cannot unmarshal array into Go value of type v1.Pod");
    check_type_error(
        pod,
        r#"{"spec":{"containers":"x"}}"#,
        "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
    );
    check_type_error(
        pod,
        r#"{"spec":{"containers":[{"name":1}]}}"#,
        "json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string",
    );
    check_type_error(
        pod,
        r#"{"metadata":{"labels":{"a":true}}}"#,
        "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
    );
    check_type_error(
        "io.k8s.api.apps.v1.Deployment",
        r#"{"spec":{"replicas":3000000000}}"#,
        "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
    );
    check_type_error(
        pod,
        r#"{"spec":{"containers":[{"imagePullPolicy":{}}]}}"#,
        "json: cannot unmarshal object into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy",
    );
    check_type_error(
        pod,
        r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}"#,
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
    check_type_error(
        "io.k8s.api.core.v1.Secret",
        r#"{"data":{"a":"abc"}}"#,
        "illegal base64 data at input byte 0",
    );
    check_type_error(
        "io.k8s.api.core.v1.Service",
        r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
        "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
    );
    let parsed = json::parse(br#"{"metadata":null,"spec":{"priority":1,"containers":null}}"#).unwrap();
    assert_eq!(check_types(&parsed.tree, named(pod).unwrap()), Ok(()));
}
