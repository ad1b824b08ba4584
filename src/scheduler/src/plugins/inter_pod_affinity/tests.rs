//! Three nodes, `a` and `b` in zone `x`, `c` in zone `y`; what is placed where decides.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::{
    framework::Score,
    plugins::testing::{check_cluster, check_cluster_scores, cluster, named_pod},
};

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";

fn term(app: &str, key: &str) -> Value {
    json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key})
}

fn required(kind: &str, terms: Value) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn preferred(kind: &str, weight: i32, term: Value) -> Value {
    let terms = json!([{"weight": weight, "podAffinityTerm": term}]);
    json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": terms}}})
}

/// A pod of the namespace `default` with one label.
fn pod(app: &str, spec: Value) -> PodInfo {
    named_pod("default", app, json!({"app": app}), spec)
}

fn with(placed: Vec<(PodInfo, &str)>) -> Cluster {
    let mut cluster = cluster(&[
        ("a", json!({"zone": "x", "host": "a"})),
        ("b", json!({"zone": "x", "host": "b"})),
        ("c", json!({"zone": "y", "host": "c"})),
        ("d", json!({"host": "d"})),
    ]);
    cluster.set_namespace("default", BTreeMap::new());
    cluster.set_namespace("other", BTreeMap::from([("team".into(), "blue".into())]));
    for (pod, node) in placed {
        cluster.place(Arc::new(pod), node);
    }
    cluster
}

fn check(placed: Vec<(PodInfo, &str)>, pod: &PodInfo, expected: [&str; 4]) {
    check_cluster(&InterPodAffinity, pod, &with(placed), &expected);
}

fn plain(app: &str) -> PodInfo {
    pod(app, json!({}))
}

#[test]
fn required_affinity_wants_a_domain_with_a_pod_that_meets_all_terms() {
    let near_db = |key| pod("web", required("podAffinity", json!([term("db", key)])));
    check(vec![(plain("db"), "a")], &near_db("zone"), ["", "", AFFINITY, AFFINITY]);
    check(vec![(plain("db"), "a")], &near_db("host"), ["", AFFINITY, AFFINITY, AFFINITY]);
    check(vec![], &near_db("host"), [AFFINITY; 4]);
    let both = pod("web", required("podAffinity", json!([term("db", "zone"), term("cache", "zone")])));
    check(vec![(plain("db"), "a"), (plain("cache"), "b")], &both, [AFFINITY; 4]);
}

#[test]
fn the_first_of_a_series_may_go_wherever_the_keys_are() {
    let with_itself = pod("web", required("podAffinity", json!([term("web", "zone")])));
    check(vec![], &with_itself, ["", "", "", AFFINITY]);
    let earlier = named_pod("default", "earlier", json!({"app": "web"}), json!({}));
    check(vec![(earlier, "c")], &with_itself, [AFFINITY, AFFINITY, "", AFFINITY]);
}

#[test]
fn anti_affinity_holds_both_ways() {
    let no_db = || pod("web", required("podAntiAffinity", json!([term("db", "zone")])));
    check(vec![(plain("db"), "a")], &no_db(), [ANTI, ANTI, "", ""]);
    check(vec![(no_db(), "a")], &plain("db"), [EXISTING, EXISTING, "", ""]);
    check(vec![(no_db(), "a")], &plain("cache"), [""; 4]);
    check(vec![(no_db(), "d")], &plain("db"), [""; 4]);
}

#[test]
fn a_pod_that_is_unique_per_node_does_not_hinder_itself() {
    let unique = |name: &str| {
        let spec = required("podAntiAffinity", json!([term("web", "host")]));
        named_pod("default", name, json!({"app": "web"}), spec)
    };
    check(vec![], &unique("0"), [""; 4]);
    check(vec![(unique("0"), "a"), (unique("1"), "b")], &unique("2"), [ANTI, ANTI, "", ""]);
}

#[test]
fn namespaces_are_named_or_selected() {
    let check_term = |fields: Value, is_meant: bool| {
        let mut term = term("db", "zone");
        term.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let wanted = pod("web", required("podAntiAffinity", json!([term])));
        let other = named_pod("other", "db", json!({"app": "db"}), json!({}));
        let reason = if is_meant { ANTI } else { "" };
        check(vec![(other, "a")], &wanted, [reason, reason, "", ""]);
    };
    check_term(json!({}), false);
    check_term(json!({"namespaces": ["other"]}), true);
    check_term(json!({"namespaces": ["default"]}), false);
    check_term(json!({"namespaceSelector": {}}), true);
    check_term(json!({"namespaceSelector": {"matchLabels": {"team": "blue"}}}), true);
    check_term(json!({"namespaceSelector": {"matchLabels": {"team": "red"}}}), false);
    check_term(json!({"namespaceSelector": {"matchLabels": {"team": "red"}}, "namespaces": ["other"]}), true);
}

#[test]
fn a_selector_that_cannot_be_read_keeps_the_pod_out() {
    let selector = json!({"matchExpressions": [{"key": "app", "operator": "Like"}]});
    let terms = json!([{"labelSelector": selector, "topologyKey": "zone"}]);
    let reason = "parsing pod: \"Like\" is not a valid label selector operator";
    check(vec![], &pod("web", required("podAntiAffinity", terms)), [reason; 4]);
}

#[test]
fn who_has_no_rules_and_meets_none_is_skipped() {
    let (pod, cluster) = (plain("web"), with(vec![(plain("db"), "a")]));
    assert!(matches!(InterPodAffinity.pre_filter(&pod, &cluster), PreFilter::Skip));
    check_cluster_scores(&InterPodAffinity, &pod, &cluster, None);
    assert_eq!(Score::weight(&InterPodAffinity), 2);
}

fn check_scores(placed: Vec<(PodInfo, &str)>, pod: &PodInfo, expected: [i64; 4]) {
    check_cluster_scores(&InterPodAffinity, pod, &with(placed), Some(&expected));
}

#[test]
fn preferences_count_from_both_sides() {
    let near = pod("web", preferred("podAffinity", 10, term("db", "zone")));
    let apart = pod("web", preferred("podAntiAffinity", 10, term("db", "zone")));
    check_scores(vec![(plain("db"), "a")], &near, [100, 100, 0, 0]);
    check_scores(vec![(plain("db"), "a")], &apart, [0, 0, 100, 100]);
    check_scores(vec![(near, "c")], &plain("db"), [0, 0, 100, 0]);
    check_scores(vec![(apart, "c")], &plain("db"), [100, 100, 0, 100]);
}

#[test]
fn required_affinity_of_a_placed_pod_counts_as_a_slight_preference() {
    let needs_db = pod("web", required("podAffinity", json!([term("db", "zone")])));
    let likes_db = pod("cache", preferred("podAffinity", 4, term("db", "host")));
    check_scores(vec![(needs_db, "c"), (likes_db, "a")], &plain("db"), [100, 0, 25, 0]);
}

fn check_help(pod: &PodInfo, event: Event<'_>, expected: bool) {
    assert_eq!(InterPodAffinity.is_helped_by(pod, &event, &with(vec![])), expected, "{event:?}");
}

#[test]
fn events_help_that_bring_wanted_pods_or_end_unwanted_ones() {
    let near = pod("web", required("podAffinity", json!([term("db", "zone")])));
    let apart = pod("web", required("podAntiAffinity", json!([term("db", "zone")])));
    let (db, cache) = (plain("db"), plain("cache"));
    check_help(&near, Event::Placed { old: None, new: &db }, true);
    check_help(&near, Event::Placed { old: None, new: &cache }, false);
    check_help(&apart, Event::Placed { old: None, new: &db }, false);
    check_help(&apart, Event::Placed { old: Some(&db), new: &cache }, true);
    check_help(&apart, Event::Ended(&db), true);
    check_help(&apart, Event::Ended(&cache), false);
    check_help(&db, Event::Ended(&apart), true);
}

#[test]
fn a_node_helps_that_has_the_key_of_affinity() {
    let near = pod("web", required("podAffinity", json!([term("db", "zone")])));
    let apart = pod("web", required("podAntiAffinity", json!([term("db", "zone")])));
    let cluster = with(vec![]);
    let (a, d) = (cluster.node("a").unwrap(), cluster.node("d").unwrap());
    check_help(&near, Event::Node { old: None, new: a }, true);
    check_help(&near, Event::Node { old: None, new: d }, false);
    check_help(&apart, Event::Node { old: None, new: d }, true);
    check_help(&near, Event::Node { old: a.node.as_deref(), new: a }, false);
    check_help(&near, Event::Node { old: d.node.as_deref(), new: a }, true);
}
