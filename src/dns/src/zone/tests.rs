//! Questions to a small cluster.

use std::sync::Arc;

use client::Key;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::*;

fn cluster() -> Index {
    let mut index = Index::default();
    index.put_namespace("default".into());
    let service = |name: &str, spec: Value| {
        let object = json!({ "metadata": { "name": name, "namespace": "default" }, "spec": spec });
        Arc::new(serde_json::from_value(object).unwrap())
    };
    index.put_service(service(
        "web",
        json!({
            "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"],
            "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }, { "port": 9, "protocol": "UDP" }],
        }),
    ));
    index.put_service(service(
        "plain",
        json!({ "clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8"], "ports": [{ "name": "dns", "port": 53, "protocol": "UDP" }] }),
    ));
    index.put_service(service("db", json!({ "clusterIP": "None" })));
    index.put_service(service("both", json!({ "clusterIP": "None" })));
    index.put_service(service("empty", json!({ "clusterIP": "None" })));
    index.put_service(service("far", json!({
        "type": "ExternalName", "externalName": "www.example.com", "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }],
    })));
    index.put_slice(slice(
        "db-1",
        json!([
            { "addresses": ["10.244.0.1"], "hostname": "db-0", "conditions": { "ready": true } },
            { "addresses": ["10.244.0.2"] },
            { "addresses": ["10.244.0.3"], "hostname": "db-2", "conditions": { "ready": false } },
        ]),
    ));
    index.put_slice(slice("web-1", json!([{ "addresses": ["10.244.0.7"] }])));
    // Two that share the host's address, one of which is in a second slice as well, and in a third by its IPv6 address.
    let on_host = json!({ "addresses": ["192.0.2.7"], "hostname": "a" });
    index.put_slice(slice("both-1", json!([on_host, { "addresses": ["192.0.2.7"], "hostname": "b" }])));
    index.put_slice(slice("both-2", json!([on_host])));
    index.put_slice(slice("both-3", json!([{ "addresses": ["fd00::7"], "hostname": "a" }])));
    index
}

/// A slice of the service whose name is before the dash.
fn slice(name: &str, endpoints: Value) -> Arc<EndpointSlice> {
    let service = name.split_once('-').unwrap().0;
    let kind = if endpoints.to_string().contains("::") { "IPv6" } else { "IPv4" };
    let object = json!({
        "metadata": { "name": name, "namespace": "default", "labels": { "kubernetes.io/service-name": service } },
        "addressType": kind, "endpoints": endpoints, "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
    });
    Arc::new(serde_json::from_value(object).unwrap())
}

/// `name type` → the records, one a line without owner and class; or what is said instead.
fn check(question: &str, expected: &[&str]) {
    let index = cluster();
    let (name, kind) = question.split_once(' ').unwrap();
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    let zone = Zone::new("cluster.local").unwrap();
    let answer = match zone.contains(&name) {
        true => Some(zone.answer(&name, kind.parse().unwrap(), &index)),
        false => zone.reverse(&name, kind.parse().unwrap(), &index),
    };
    let described = match answer {
        Some(Answer::Records { answers, additionals }) => {
            assert!(answers.iter().all(|record| record.name == name && record.ttl == TTL));
            answers.iter().chain(&additionals).map(|record| record.data.to_string()).collect()
        }
        Some(Answer::Alias(record, _)) => vec![format!("alias {}", record.data)],
        Some(other) => vec![format!("{other:?}")],
        None => vec!["not ours".to_owned()],
    };
    assert_eq!(described, expected, "{question}");
}

#[test]
fn a_service_has_its_cluster_ips() {
    check("web.default.svc.cluster.local A", &["10.96.0.9"]);
    check("web.default.svc.cluster.local AAAA", &["fd00::9"]);
    check("WEB.Default.SVC.cluster.LOCAL A", &["10.96.0.9"]);
    check("plain.default.svc.cluster.local A", &["10.96.0.8"]);
    check("plain.default.svc.cluster.local AAAA", &["NoData"]);
    check("web.default.svc.cluster.local MX", &["NoData"]);
    check("web.other.svc.cluster.local A", &["NoSuchName"]);
    check("nobody.default.svc.cluster.local A", &["NoSuchName"]);
}

#[test]
fn named_ports_have_srv_records() {
    let target = "0 100 80 web.default.svc.cluster.local.";
    check("_http._tcp.web.default.svc.cluster.local SRV", &[target, "10.96.0.9", "fd00::9"]);
    check("web.default.svc.cluster.local SRV", &[target, "10.96.0.9", "fd00::9"]);
    check("_http._udp.web.default.svc.cluster.local SRV", &["NoSuchName"]);
    check("_other._tcp.web.default.svc.cluster.local SRV", &["NoSuchName"]);
    check("_http._tcp.web.default.svc.cluster.local A", &["NoData"]);
    check(
        "_DNS._UDP.plain.default.svc.cluster.local SRV",
        &["0 100 53 plain.default.svc.cluster.local.", "10.96.0.8"],
    );
    check("_tcp.web.default.svc.cluster.local A", &["NoData"]);
    check("_udp.web.default.svc.cluster.local A", &["NoSuchName"]);
}

#[test]
fn a_headless_service_has_its_ready_endpoints() {
    check("db.default.svc.cluster.local A", &["10.244.0.1", "10.244.0.2"]);
    check("db.default.svc.cluster.local AAAA", &["NoData"]);
    check("db-0.db.default.svc.cluster.local A", &["10.244.0.1"]);
    check("10-244-0-2.db.default.svc.cluster.local A", &["10.244.0.2"]);
    check("db-2.db.default.svc.cluster.local A", &["NoSuchName"]);
    check("empty.default.svc.cluster.local A", &["NoSuchName"]);
}

#[test]
fn a_headless_service_has_srv_records_for_each_endpoint() {
    check(
        "_sql._tcp.db.default.svc.cluster.local SRV",
        &[
            "0 50 5432 db-0.db.default.svc.cluster.local.",
            "0 50 5432 10-244-0-2.db.default.svc.cluster.local.",
            "10.244.0.2",
            "10.244.0.1",
        ],
    );
}

#[test]
fn what_is_in_several_slices_or_shares_an_address_is_answered_once() {
    check("both.default.svc.cluster.local A", &["192.0.2.7"]);
    check("both.default.svc.cluster.local AAAA", &["fd00::7"]);
    check("a.both.default.svc.cluster.local A", &["192.0.2.7"]);
    check("a.both.default.svc.cluster.local AAAA", &["fd00::7"]);
    check("b.both.default.svc.cluster.local AAAA", &["NoData"]);
    check(
        "_sql._tcp.both.default.svc.cluster.local SRV",
        &[
            "0 50 5432 a.both.default.svc.cluster.local.",
            "0 50 5432 b.both.default.svc.cluster.local.",
            "192.0.2.7",
            "fd00::7",
            "192.0.2.7",
        ],
    );
    check(
        "7.2.0.192.in-addr.arpa PTR",
        &["a.both.default.svc.cluster.local.", "b.both.default.svc.cluster.local."],
    );
}

#[test]
fn an_external_name_is_an_alias() {
    check("far.default.svc.cluster.local A", &["alias www.example.com."]);
    check("far.default.svc.cluster.local CNAME", &["www.example.com."]);
    check("far.default.svc.cluster.local SRV", &["alias www.example.com."]);
    check("_http._tcp.far.default.svc.cluster.local SRV", &["NoSuchName"]);
    check("_tcp.far.default.svc.cluster.local A", &["NoSuchName"]);
    check("a.far.default.svc.cluster.local A", &["NoSuchName"]);
}

#[test]
fn addresses_have_names() {
    check("9.0.96.10.in-addr.arpa PTR", &["web.default.svc.cluster.local."]);
    check("1.0.244.10.in-addr.arpa PTR", &["db-0.db.default.svc.cluster.local."]);
    check("9.0.96.10.in-addr.arpa A", &["NoData"]);
    let zeros = "0.".repeat(29);
    check(&format!("9.{zeros}d.f.ip6.arpa PTR"), &["web.default.svc.cluster.local."]);
    // Networks, not addresses.
    check(&format!("{zeros}d.f.ip6.arpa PTR"), &["not ours"]);
    check("96.10.in-addr.arpa PTR", &["not ours"]);
    // An endpoint of a service that has an address itself, one that is not ready, one of somebody else.
    check("7.0.244.10.in-addr.arpa PTR", &["not ours"]);
    check("3.0.244.10.in-addr.arpa PTR", &["not ours"]);
    check("1.1.1.1.in-addr.arpa PTR", &["not ours"]);
    check("www.example.com A", &["not ours"]);
}

#[test]
fn pods_are_named_by_their_address() {
    check("10-244-0-1.default.pod.cluster.local A", &["10.244.0.1"]);
    check("10-244-0-1.default.pod.cluster.local AAAA", &["NoData"]);
    check("fd00--1.default.pod.cluster.local AAAA", &["fd00::1"]);
    check("nonsense.default.pod.cluster.local A", &["NoSuchName"]);
    check("10-244-0-1.other.pod.cluster.local A", &["NoSuchName"]);
}

#[test]
fn the_zone_knows_itself() {
    check("dns-version.cluster.local TXT", &["1.1.0"]);
    check("dns-version.cluster.local A", &["NoData"]);
    check("cluster.local NS", &["kube-dns.kube-system.svc.cluster.local."]);
    check("cluster.local A", &["NoData"]);
    check("svc.cluster.local A", &["NoData"]);
    check("default.svc.cluster.local A", &["NoData"]);
    check("other.svc.cluster.local A", &["NoSuchName"]);
    check("a.b.c.cluster.local A", &["NoSuchName"]);
}

fn is_ours(index: &Index, reverse: &str) -> bool {
    let zone = Zone::new("cluster.local").unwrap();
    zone.reverse(&Name::from_ascii(reverse).unwrap(), RecordType::PTR, index).is_some()
}

#[test]
fn what_is_removed_is_forgotten() {
    let mut index = cluster();
    index.remove_service(&Key::new("default", "web"));
    assert!(!is_ours(&index, "9.0.96.10.in-addr.arpa."));
    assert!(is_ours(&index, "1.0.244.10.in-addr.arpa."));
    index.remove_slice(&Key::new("default", "db-1"));
    assert!(!is_ours(&index, "1.0.244.10.in-addr.arpa."));
    assert_eq!(index.endpoints("default", "db").count(), 0);
    // What is in another slice as well stays.
    index.remove_slice(&Key::new("default", "both-1"));
    assert!(is_ours(&index, "7.2.0.192.in-addr.arpa."));
    assert_eq!(index.endpoints("default", "both").count(), 2);
}

#[test]
fn a_slice_that_changes_leaves_nothing_behind() {
    let mut index = cluster();
    index.put_slice(slice("db-1", json!([{ "addresses": ["10.244.0.9"] }])));
    assert!(!is_ours(&index, "1.0.244.10.in-addr.arpa."));
    assert!(is_ours(&index, "9.0.244.10.in-addr.arpa."));
    let mut given_away = EndpointSlice::clone(&slice("db-1", json!([{ "addresses": ["10.244.0.9"] }])));
    given_away.metadata.labels = None;
    index.put_slice(Arc::new(given_away));
    assert!(!is_ours(&index, "9.0.244.10.in-addr.arpa."));
    assert_eq!(index.endpoints("default", "db").count(), 0);
}

#[test]
fn an_endpoint_that_is_known_by_a_name_only_is_left_out() {
    let mut index = cluster();
    let mut named = EndpointSlice::clone(&slice("empty-1", json!([{ "addresses": ["host.example.com"] }])));
    named.address_type = "FQDN".to_owned();
    index.put_slice(Arc::new(named));
    assert_eq!(index.endpoints("default", "empty").count(), 0);
}
