use std::sync::Arc;

use serde_json::json;

use super::*;

fn applied(name: &str, address: &str, pods: &str) -> Change<Node> {
    let node = json!({
        "metadata": {"name": name},
        "spec": {"podCIDR": pods, "podCIDRs": [pods]},
        "status": {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]},
    });
    Change::Applied { old: None, new: Arc::new(serde_json::from_value(node).unwrap()) }
}

/// Node `own` has 192.0.2.1 and 10.244.0.0/24; others as name, address, range. Entries and complaints as text.
fn check(backend: Backend, others: &[(&str, &str, &str)], entries: &[&str], complaints: &[&str]) {
    let mut peers = Peers::new("own".into(), [192, 0, 2, 1].into(), "10.244.0.0/16".parse().unwrap());
    peers.apply(&applied("own", "192.0.2.1", "10.244.0.0/24"));
    for (name, address, pods) in others {
        peers.apply(&applied(name, address, pods));
    }
    let wanted = peers.wanted(backend);
    let written: Vec<String> = wanted.entries.iter().map(|entry| format!("{entry:?}")).collect();
    assert_eq!(written, entries);
    let written: Vec<&String> = wanted.complaints.iter().collect();
    assert_eq!(written.len(), complaints.len(), "{written:?}");
    assert!(written.iter().zip(complaints).all(|(written, part)| written.contains(part)), "{written:?}");
}

const NOWHERE: &str = "Route(10.244.0.0/16, Nobody)";

#[test]
fn a_route_leads_to_each_other_node() {
    let others = [("b", "192.0.2.2", "10.244.1.0/24"), ("c", "192.0.2.3", "10.244.2.0/24")];
    let first = "Route(10.244.1.0/24, Direct(192.0.2.2))";
    check(Backend::Routes, &others, &[NOWHERE, first, "Route(10.244.2.0/24, Direct(192.0.2.3))"], &[]);
}

#[test]
fn a_tunnel_leads_to_each_other_node() {
    let entries = [
        "Address(10.244.0.0)",
        "Forward([14, 88, 192, 0, 2, 2], 192.0.2.2)",
        "Neighbour(10.244.1.0, [14, 88, 192, 0, 2, 2])",
        NOWHERE,
        "Route(10.244.1.0/24, Tunnelled(10.244.1.0))",
    ];
    check(Backend::Vxlan, &[("b", "192.0.2.2", "10.244.1.0/24")], &entries, &[]);
}

#[test]
fn nodes_that_are_not_complete_yet_are_waited_for() {
    check(Backend::Routes, &[("b", "192.0.2.2", ""), ("c", "", "10.244.2.0/24")], &[NOWHERE], &[]);
}

#[test]
fn ranges_that_would_lead_others_astray_are_refused() {
    check(Backend::Routes, &[("b", "192.0.2.2", "0.0.0.0/0")], &[NOWHERE], &["not part of the cluster's"]);
    check(
        Backend::Routes,
        &[("b", "192.0.2.2", "10.244.0.0/25")],
        &[NOWHERE],
        &["overlaps 10.244.0.0/24 of node own"],
    );
    check(
        Backend::Routes,
        &[("b", "192.0.2.1", "10.244.1.0/24")],
        &[NOWHERE],
        &["has the address of this node"],
    );
    let twice = [("b", "192.0.2.2", "10.244.1.0/24"), ("c", "192.0.2.3", "10.244.1.0/24")];
    let first = "Route(10.244.1.0/24, Direct(192.0.2.2))";
    check(Backend::Routes, &twice, &[NOWHERE, first], &["node c are unreachable"]);
}

#[test]
fn heartbeats_make_no_difference() {
    let mut peers = Peers::new("own".into(), [192, 0, 2, 1].into(), "10.244.0.0/16".parse().unwrap());
    let change = applied("b", "192.0.2.2", "10.244.1.0/24");
    assert!(peers.apply(&change));
    assert!(!peers.apply(&change));
    assert!(peers.apply(&Change::Deleted(change.object().clone())));
    assert!(
        !peers
            .wanted(Backend::Routes)
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Route(_, Gateway::Direct(_))))
    );
}
