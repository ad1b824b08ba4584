use super::*;
use crate::testing::{context, object, stored};

/// What a service is after preparation and validation; errors as text.
fn created(spec: &str) -> (ServiceSpec, Vec<String>) {
    let mut service: Service = stored(&format!(r#"{{"spec":{spec}}}"#));
    service.set_defaults();
    service.prepare_for_create(&context());
    let mut errors = service.validate_allocation(None);
    if errors.is_empty() {
        errors = service.validate();
    }
    let errors = errors.iter().map(ToString::to_string).collect();
    (service.spec.unwrap(), errors)
}

#[track_caller]
fn check(spec: &str, expected: &[&str]) {
    assert_eq!(created(spec).1, expected);
}

#[test]
fn a_plain_service_is_completed() {
    let (spec, errors) = created(r#"{"ports":[{"port":80}]}"#);
    let expected = r#"{"type":"ClusterIP","sessionAffinity":"None","internalTrafficPolicy":"Cluster",
        "ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","ports":[{"port":80,"protocol":"TCP","targetPort":80}]}"#;
    assert_eq!(spec, serde_json::from_str(expected).unwrap());
    assert_eq!(errors, [""; 0]);
}

#[test]
fn affinity_and_balancers_have_defaults() {
    let (spec, _) = created(r#"{"type":"LoadBalancer","sessionAffinity":"ClientIP","ports":[{"port":80}]}"#);
    assert_eq!(spec.session_affinity_config.unwrap().client_ip.unwrap().timeout_seconds, Some(10_800));
    assert_eq!(spec.allocate_load_balancer_node_ports, Some(true));
    assert_eq!(spec.external_traffic_policy.as_deref(), Some("Cluster"));
}

#[test]
fn a_headless_service_without_selector_takes_both_families() {
    let (spec, errors) = created(r#"{"clusterIP":"None"}"#);
    assert_eq!(spec.ip_families.unwrap(), ["IPv4", "IPv6"]);
    assert_eq!(spec.ip_family_policy.as_deref(), Some("RequireDualStack"));
    assert_eq!(errors, [""; 0]);
}

#[test]
fn ports_are_checked() {
    check("{}", &["spec.ports: Required value"]);
    check(
        r#"{"ports":[{"port":80},{"name":"a","port":80}]}"#,
        &[
            "spec.ports[0].name: Required value",
            "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}",
        ],
    );
    check(
        r#"{"ports":[{"port":0,"targetPort":"x_y","nodePort":30000}]}"#,
        &[
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: \"x_y\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
        ],
    );
}

#[test]
fn external_names_need_a_name_only() {
    check(r#"{"type":"ExternalName","externalName":"a.example."}"#, &[]);
    check(r#"{"type":"ExternalName"}"#, &["spec.externalName: Required value"]);
    check(
        r#"{"type":"ExternalName","externalName":"a","clusterIP":"10.0.0.1"}"#,
        &["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
    );
}

#[test]
fn addresses_are_checked() {
    let port = r#""ports":[{"port":80}]"#;
    check(
        &format!(r#"{{"clusterIP":"x",{port}}}"#),
        &[
            "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ],
    );
    check(
        &format!(r#"{{"ipFamilyPolicy":"RequireDualStack",{port}}}"#),
        &[
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        ],
    );
    check(
        &format!(r#"{{"type":"NodePort","clusterIP":"None",{port}}}"#),
        &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    );
}

/// What an update makes of a service, and its errors.
fn updated(old: &str, new: &str) -> (ServiceSpec, Vec<String>) {
    let old: Service = stored(&format!(r#"{{"spec":{}}}"#, serde_json::to_string(&created(old).0).unwrap()));
    let mut new: Service = stored(&format!(r#"{{"spec":{new}}}"#));
    new.set_defaults();
    new.prepare_for_update(&old, &context());
    let errors = new.validate_update(&old).iter().map(ToString::to_string).collect();
    (new.spec.unwrap(), errors)
}

#[test]
fn an_update_keeps_what_was_allocated() {
    let old = r#"{"type":"NodePort","clusterIP":"10.0.0.1","ports":[{"port":80,"nodePort":30080}]}"#;
    let (spec, errors) = updated(old, r#"{"type":"NodePort","ports":[{"port":81}]}"#);
    assert_eq!(spec.cluster_ip.as_deref(), Some("10.0.0.1"));
    assert_eq!(spec.ports.unwrap()[0].node_port, Some(30080));
    assert_eq!(errors, [""; 0]);
    let (spec, errors) =
        updated(old, r#"{"type":"ClusterIP","clusterIP":"10.0.0.1","ports":[{"port":80,"nodePort":30080}]}"#);
    assert_eq!(spec.ports.unwrap()[0].node_port, None);
    assert_eq!(errors, [""; 0]);
    let (spec, errors) =
        updated(old, r#"{"type":"ExternalName","externalName":"a.example","clusterIP":"10.0.0.1"}"#);
    assert_eq!((spec.cluster_ip, spec.cluster_ips), (None, None));
    assert_eq!(errors, [""; 0]);
}

#[test]
fn a_cluster_address_stays() {
    let old = r#"{"clusterIP":"10.0.0.1","ports":[{"port":80}]}"#;
    let (_, errors) = updated(old, r#"{"clusterIP":"10.0.0.2","ports":[{"port":80}]}"#);
    assert_eq!(errors, ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]);
}

#[test]
fn the_table_shows_addresses_and_ports() {
    let service: Service = object(
        r#"{"metadata":{"name":"a"},"spec":{"type":"NodePort","clusterIPs":["10.0.0.1"],"selector":{"a":"b"},
        "ports":[{"port":80,"nodePort":30080,"protocol":"TCP"},{"port":81,"protocol":"UDP"}]}}"#,
    );
    let expected =
        ["a", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,81/UDP", "<unknown>", "a=b"].map(Value::from);
    assert_eq!(service.row(Timestamp::UNIX_EPOCH), expected);
}

#[test]
fn names_are_labels() {
    assert!(Service::validate_name("a-b", false).is_empty());
    assert!(!Service::validate_name("a.b", false).is_empty());
}
