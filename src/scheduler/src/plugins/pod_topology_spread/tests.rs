//! Nodes `a` and `b` in zone `x`, `c` in zone `y`, `d` in none; pods of the app `web` are spread.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    framework::Score,
    plugins::testing::{check_cluster, check_cluster_scores, cluster, named_pod},
};

fn constraint(key: &str, more: Value) -> Value {
    let mut constraint = json!({
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    });
    constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    constraint
}

fn soft(key: &str) -> Value {
    constraint(key, json!({"whenUnsatisfiable": "ScheduleAnyway"}))
}

fn web(name: &str, spec: Value) -> PodInfo {
    named_pod("default", name, json!({"app": "web", "version": "1"}), spec)
}

fn spread(constraints: &[Value]) -> PodInfo {
    web("new", json!({"topologySpreadConstraints": constraints}))
}

/// A cluster with so many pods of `web` on each node.
fn with(counts: [usize; 4]) -> Cluster {
    let mut cluster = cluster(&[
        ("a", json!({"zone": "x", "kubernetes.io/hostname": "a"})),
        ("b", json!({"zone": "x", "kubernetes.io/hostname": "b"})),
        ("c", json!({"zone": "y", "kubernetes.io/hostname": "c"})),
        ("d", json!({"kubernetes.io/hostname": "d"})),
    ]);
    for (node, count) in ["a", "b", "c", "d"].into_iter().zip(counts) {
        for number in 0..count {
            cluster.place(Arc::new(web(&format!("{node}{number}"), json!({}))), node);
        }
    }
    cluster
}

fn check(counts: [usize; 4], pod: &PodInfo, expected: [&str; 4]) {
    check_cluster(&PodTopologySpread, pod, &with(counts), &expected);
}

#[test]
fn no_domain_gets_further_ahead_than_the_skew() {
    let zone = spread(&[constraint("zone", json!({}))]);
    check([0, 0, 0, 0], &zone, ["", "", "", REASON_NO_LABEL]);
    check([1, 0, 0, 0], &zone, [REASON, REASON, "", REASON_NO_LABEL]);
    check([1, 1, 3, 0], &zone, ["", "", REASON, REASON_NO_LABEL]);
    check([1, 0, 0, 9], &spread(&[constraint("zone", json!({"maxSkew": 2}))]), ["", "", "", REASON_NO_LABEL]);
}

#[test]
fn all_constraints_must_hold_and_only_nodes_with_all_keys_count() {
    let both = spread(&[constraint("zone", json!({})), constraint("kubernetes.io/hostname", json!({}))]);
    check([1, 0, 1, 0], &both, [REASON, "", REASON, REASON_NO_LABEL]);
    let host = spread(&[constraint("kubernetes.io/hostname", json!({}))]);
    check([1, 1, 1, 0], &host, [REASON, REASON, REASON, ""]);
}

#[test]
fn too_few_domains_count_as_an_empty_one() {
    let zone = spread(&[constraint("zone", json!({"minDomains": 3}))]);
    check([1, 0, 1, 0], &zone, [REASON, REASON, REASON, REASON_NO_LABEL]);
    let zone = spread(&[constraint("zone", json!({"minDomains": 2}))]);
    check([1, 0, 1, 0], &zone, ["", "", "", REASON_NO_LABEL]);
}

#[test]
fn a_pod_that_its_own_selector_does_not_mean_adds_nothing() {
    let other = json!({"labelSelector": {"matchLabels": {"app": "db"}}});
    check([5, 0, 0, 0], &spread(&[constraint("zone", other)]), ["", "", "", REASON_NO_LABEL]);
    let constraints = json!({"topologySpreadConstraints": [constraint("zone", json!({}))]});
    let outsider = named_pod("default", "new", json!({"app": "db"}), constraints.clone());
    check([1, 0, 0, 0], &outsider, ["", "", "", REASON_NO_LABEL]);
    let elsewhere = named_pod("other", "new", json!({"app": "web"}), constraints);
    check([5, 0, 0, 0], &elsewhere, ["", "", "", REASON_NO_LABEL]);
}

#[test]
fn match_label_keys_narrow_the_selector_to_the_pods_own_values() {
    let check_key = |key: &str, expected| {
        let pod = spread(&[constraint("zone", json!({"matchLabelKeys": [key]}))]);
        let mut cluster = with([0; 4]);
        let older = named_pod("default", "older", json!({"app": "web", "version": "0"}), json!({}));
        cluster.place(Arc::new(older), "a");
        check_cluster(&PodTopologySpread, &pod, &cluster, expected);
    };
    check_key("version", &["", "", "", REASON_NO_LABEL]);
    check_key("absent", &[REASON, REASON, "", REASON_NO_LABEL]);
}

#[test]
fn pods_that_are_about_to_end_do_not_count() {
    let mut cluster = with([0; 4]);
    let mut pod = (*web("old", json!({})).pod).clone();
    pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    cluster.place(Arc::new(PodInfo::new(Arc::new(pod))), "a");
    let zone = spread(&[constraint("zone", json!({}))]);
    check_cluster(&PodTopologySpread, &zone, &cluster, &["", "", "", REASON_NO_LABEL]);
}

#[test]
fn the_inclusion_policies_say_which_nodes_count() {
    // Zone y is empty, so zone x is closed, unless y does not count.
    let check_policy = |more: Value, spec: Value, is_open: bool| {
        let mut cluster = with([1, 0, 0, 0]);
        let taints = json!([{"key": "gpu", "effect": "NoSchedule"}]);
        let labels = json!({"zone": "y", "kubernetes.io/hostname": "c"});
        let node = json!({"metadata": {"name": "c", "labels": labels}, "spec": {"taints": taints}});
        cluster.set_node(Arc::new(serde_json::from_value(node).unwrap()));
        let mut spec = spec;
        spec["topologySpreadConstraints"] = json!([constraint("zone", more)]);
        let reason = if is_open { "" } else { REASON };
        let expected = [reason, reason, "", REASON_NO_LABEL];
        check_cluster(&PodTopologySpread, &web("new", spec), &cluster, &expected);
    };
    let selective = || json!({"nodeSelector": {"zone": "x"}});
    check_policy(json!({}), json!({}), false);
    check_policy(json!({}), selective(), true);
    check_policy(json!({"nodeAffinityPolicy": "Ignore"}), selective(), false);
    check_policy(json!({"nodeTaintsPolicy": "Honor"}), json!({}), true);
    let tolerant = json!({"tolerations": [{"key": "gpu", "operator": "Exists"}]});
    check_policy(json!({"nodeTaintsPolicy": "Honor"}), tolerant, false);
}

#[test]
fn who_has_no_constraints_is_skipped() {
    let (pod, cluster) = (web("new", json!({})), with([1, 0, 0, 0]));
    assert!(matches!(PodTopologySpread.pre_filter(&pod, &cluster), PreFilter::Skip));
    check_cluster_scores(&PodTopologySpread, &pod, &cluster, None);
    assert_eq!(Score::weight(&PodTopologySpread), 2);
}

#[test]
fn soft_constraints_prefer_the_emptier_domain_and_never_exclude() {
    let zone = spread(&[soft("zone")]);
    check([9, 0, 0, 0], &zone, [""; 4]);
    let check_scores = |counts, pod: &PodInfo, expected: [i64; 4]| {
        check_cluster_scores(&PodTopologySpread, pod, &with(counts), Some(&expected));
    };
    check_scores([0, 0, 0, 0], &zone, [100, 100, 100, 0]);
    check_scores([2, 1, 1, 0], &zone, [25, 25, 100, 0]);
    check_scores([2, 0, 1, 0], &spread(&[soft("kubernetes.io/hostname")]), [0, 100, 50, 100]);
}

fn check_help(event: Event<'_>, expected: bool) {
    let zone = spread(&[constraint("zone", json!({}))]);
    assert_eq!(PodTopologySpread.is_helped_by(&zone, &event, &with([0; 4])), expected, "{event:?}");
}

#[test]
fn events_help_that_change_a_count_or_the_domains() {
    let (counted, cluster) = (web("x", json!({})), with([0; 4]));
    let other = named_pod("default", "x", json!({}), json!({}));
    let elsewhere = named_pod("other", "x", json!({"app": "web"}), json!({}));
    check_help(Event::Ended(&counted), true);
    check_help(Event::Ended(&elsewhere), false);
    check_help(Event::Placed { old: None, new: &counted }, true);
    check_help(Event::Placed { old: None, new: &other }, false);
    check_help(Event::Placed { old: Some(&counted), new: &other }, true);
    let (c, d) = (cluster.node("c").unwrap(), cluster.node("d").unwrap());
    check_help(Event::Node { old: None, new: c }, true);
    check_help(Event::Node { old: None, new: d }, false);
    check_help(Event::Node { old: c.node.as_deref(), new: d }, true);
    check_help(Event::NodeGone(c.node.as_deref().unwrap()), true);
}
