//! Services and slices as they come from the API, and what is made of them.

use serde_json::json;

use super::*;

fn service(spec: serde_json::Value) -> Service {
    serde_json::from_value(json!({ "metadata": { "name": "s", "namespace": "n" }, "spec": spec })).unwrap()
}

fn cluster_ip() -> serde_json::Value {
    json!({ "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"], "ports": [{ "port": 80, "name": "web", "protocol": "TCP" }] })
}

fn slice(endpoints: serde_json::Value) -> Vec<Arc<EndpointSlice>> {
    let slice = json!({
        "metadata": { "name": "s-1", "namespace": "n" }, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "web", "port": 8080, "protocol": "TCP" }, { "name": "other", "port": 1, "protocol": "TCP" }],
    });
    vec![Arc::new(serde_json::from_value(slice).unwrap())]
}

fn check(service: &Service, slices: &[Arc<EndpointSlice>], expected: &[(&str, &str)]) {
    let node = Node { name: "here".into(), zone: Some("x".into()), address: "192.0.2.1".parse().unwrap() };
    let described: Vec<(String, String)> = fronts(service, slices, &node)
        .iter()
        .map(|(front, target)| {
            let target = match target {
                Target::Spread { backends, .. } => backends.iter().map(ToString::to_string).collect(),
                refusal => vec![format!("{refusal:?}")],
            };
            (format!("{}:{}", front.address, front.port), target.join(" "))
        })
        .collect();
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(described, expected);
}

#[test]
fn ready_endpoints_of_the_named_port_are_used() {
    let endpoints = json!([
        { "addresses": ["10.244.0.1"], "conditions": { "ready": true } },
        { "addresses": ["10.244.0.2"], "conditions": { "ready": false, "serving": true, "terminating": true } },
        { "addresses": ["10.244.0.3"], "conditions": {} },
    ]);
    check(&service(cluster_ip()), &slice(endpoints), &[("10.96.0.9:80", "10.244.0.1:8080 10.244.0.3:8080")]);
}

#[test]
fn endpoints_that_still_serve_are_used_when_none_is_ready() {
    let endpoints = json!([
        { "addresses": ["10.244.0.1"], "conditions": { "ready": false, "serving": false, "terminating": true } },
        { "addresses": ["10.244.0.2"], "conditions": { "ready": false, "serving": true, "terminating": true } },
        { "addresses": ["10.244.0.3"], "conditions": { "ready": false } },
    ]);
    check(&service(cluster_ip()), &slice(endpoints), &[("10.96.0.9:80", "10.244.0.2:8080")]);
}

#[test]
fn without_endpoints_connections_are_refused() {
    check(&service(cluster_ip()), &[], &[("10.96.0.9:80", "Reject")]);
    let not_ready = json!([{ "addresses": ["10.244.0.1"], "conditions": { "ready": false } }]);
    check(&service(cluster_ip()), &slice(not_ready), &[("10.96.0.9:80", "Reject")]);
}

#[test]
fn headless_and_external_name_services_have_no_front() {
    check(&service(json!({ "clusterIP": "None", "ports": [{ "port": 80 }] })), &[], &[]);
    check(
        &service(json!({ "type": "ExternalName", "externalName": "a.example", "ports": [{ "port": 80 }] })),
        &[],
        &[],
    );
}

#[test]
fn a_local_policy_uses_only_this_node_and_ignores_clients_otherwise() {
    let mut spec = cluster_ip();
    spec["internalTrafficPolicy"] = json!("Local");
    let elsewhere = json!([{ "addresses": ["10.244.1.1"], "nodeName": "there" }]);
    check(&service(spec.clone()), &slice(elsewhere), &[("10.96.0.9:80", "Drop")]);
    let both = json!([{ "addresses": ["10.244.1.1"], "nodeName": "there" }, { "addresses": ["10.244.0.1"], "nodeName": "here" }]);
    check(&service(spec), &slice(both), &[("10.96.0.9:80", "10.244.0.1:8080")]);
}

#[test]
fn node_ports_and_external_addresses_lead_to_the_same_endpoints() {
    let mut spec = cluster_ip();
    spec["type"] = json!("NodePort");
    spec["ports"][0]["nodePort"] = json!(30080);
    spec["externalIPs"] = json!(["198.51.100.7"]);
    let endpoints = json!([{ "addresses": ["10.244.0.1"] }]);
    check(
        &service(spec),
        &slice(endpoints),
        &[
            ("10.96.0.9:80", "10.244.0.1:8080"),
            ("192.0.2.1:30080", "10.244.0.1:8080"),
            ("198.51.100.7:80", "10.244.0.1:8080"),
        ],
    );
}

#[test]
fn hints_lead_to_near_endpoints_but_not_past_a_local_policy() {
    let hinted = |address: &str, node: &str, zone: &str, ready: bool| {
        json!({ "addresses": [address], "nodeName": node, "conditions": { "ready": ready },
            "hints": { "forZones": [{ "name": zone }] } })
    };
    let near = hinted("10.244.0.1", "neighbour", "x", true);
    let far = hinted("10.244.0.2", "here", "y", true);
    check(&service(cluster_ip()), &slice(json!([near, far])), &[("10.96.0.9:80", "10.244.0.1:8080")]);
    // The near one being down, any will do.
    let down = hinted("10.244.0.1", "neighbour", "x", false);
    check(&service(cluster_ip()), &slice(json!([down, far])), &[("10.96.0.9:80", "10.244.0.2:8080")]);
    let mut local = cluster_ip();
    local["internalTrafficPolicy"] = json!("Local");
    check(&service(local), &slice(json!([near, far])), &[("10.96.0.9:80", "10.244.0.2:8080")]);
}

#[test]
fn load_balancers_are_told_how_many_endpoints_are_here_where_the_policy_is_local() {
    let mut spec = cluster_ip();
    spec["type"] = json!("LoadBalancer");
    spec["externalTrafficPolicy"] = json!("Local");
    spec["healthCheckNodePort"] = json!(31000);
    let node = Node { name: "here".into(), zone: None, address: "192.0.2.1".parse().unwrap() };
    let endpoints = json!([
        { "addresses": ["10.244.0.1"], "nodeName": "here" },
        { "addresses": ["10.244.0.2"], "nodeName": "here", "conditions": { "ready": false } },
        { "addresses": ["10.244.1.1"], "nodeName": "there" },
    ]);
    // The same endpoint twice, as with two ports of different pods.
    let slices = [slice(endpoints.clone()), slice(endpoints)].concat();
    let check = health_check(&service(spec.clone()), &slices, &node);
    assert_eq!(check, Some(Check { port: 31000, endpoints: 1 }));
    spec["externalTrafficPolicy"] = json!("Cluster");
    assert_eq!(health_check(&service(spec), &slices, &node), None);
}

#[test]
fn client_affinity_has_a_default_time() {
    let mut spec = cluster_ip();
    spec["sessionAffinity"] = json!("ClientIP");
    let node = Node { name: "here".into(), zone: Some("x".into()), address: "192.0.2.1".parse().unwrap() };
    let slices = slice(json!([{ "addresses": ["10.244.0.1"] }]));
    let fronts = fronts(&service(spec), &slices, &node);
    let Some(Target::Spread { manner, .. }) = fronts.values().next() else { panic!("{fronts:?}") };
    assert_eq!(manner.affinity_seconds, Some(10800));
}
