use std::collections::BTreeMap;

use serde_json::json;

use super::*;

#[track_caller]
fn check(normal: &mut Normal, body: Value, expected: Value) {
    let answer = Answer { status: 200, headers: BTreeMap::new(), body };
    let step = serde_json::from_value(json!({"do": "GET /", "part": true})).unwrap();
    assert_eq!(normal.answer(answer, &step).body, expected);
}

#[test]
fn what_a_server_draws_is_replaced_and_stays_recognisable() {
    let mut normal = Normal::new(":6443");
    let uid = "5f0b2c1e-7a46-4d6b-9a59-0d3f0a1b2c3d";
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    check(
        &mut normal,
        json!({"metadata": {"name": "a", "uid": uid, "resourceVersion": "123", "creationTimestamp": now,
            "managedFields": []}}),
        json!({"metadata": {"name": "a", "uid": "uid-a-1", "resourceVersion": "revision-a-1",
            "creationTimestamp": "<time>"}}),
    );
    check(
        &mut normal,
        json!({"message": format!("UID in object meta: {uid}, ResourceVersion: 123"), "other": "123"}),
        json!({"message": "UID in object meta: uid-a-1, ResourceVersion: revision-a-1", "other": "123"}),
    );
    check(
        &mut normal,
        json!({"name": "a", "resourceVersion": "124"}),
        json!({"name": "a", "resourceVersion": "revision-a-2"}),
    );
    check(
        &mut normal,
        json!({"uid": "11111111-1111-1111-1111-111111111111"}),
        json!({"uid": "11111111-1111-1111-1111-111111111111"}),
    );
}

#[test]
fn rules_come_in_no_order() {
    check(
        &mut Normal::new(""),
        json!({"resourceRules": [{"verbs": ["b"]}, {"verbs": ["a"]}], "others": [2, 1]}),
        json!({"resourceRules": [{"verbs": ["a"]}, {"verbs": ["b"]}], "others": [2, 1]}),
    );
}

#[test]
fn what_a_request_brought_stays() {
    let body =
        json!({"time": "2020-01-02T03:04:05Z", "ip": "10.96.0.1", "resourceVersion": "0", "continue": ""});
    check(&mut Normal::new(""), body.clone(), body);
}

#[test]
fn ages_are_those_that_pass() {
    for age in ["0s", "12s", "5d", "2y1d", "6y326d", "9y", "<invalid>"] {
        assert!(is_age(age), "{age}");
    }
    for other in ["", "s", "d", "y", "1/2", "node", "2yd", "y3d", "3m", "day"] {
        assert!(!is_age(other), "{other}");
    }
}

#[test]
fn lists_tables_and_draws_are_normalised() {
    check(
        &mut Normal::new(":6443"),
        json!({"metadata": {"resourceVersion": "99", "continue": "abc"}, "rows": [{"cells": ["x", "12s", "10.96.3.4"]}]}),
        json!({"metadata": {"resourceVersion": "<revision of the list>", "continue": "<continue>"},
            "rows": [{"cells": ["x", "<age>", "address-1"]}]}),
    );
    check(
        &mut Normal::new(""),
        json!({"resources": [{"name": "pods", "verbs": ["get"]}], "paths": ["/api", "/apis"]}),
        json!({"resources": {"pods": {"name": "pods", "verbs": ["get"]}}, "paths": {"/api": "/api", "/apis": "/apis"}}),
    );
    check(
        &mut Normal::new(":6443"),
        json!({"a": "https://192.0.2.10:6443/x"}),
        json!({"a": "https://192.0.2.10:<port>/x"}),
    );
}

#[test]
fn ports_that_were_drawn_are_replaced_and_those_asked_for_stay() {
    let mut normal = Normal::new("");
    check(
        &mut normal,
        json!({"ports": [{"nodePort": 31500}, {"nodePort": 30077}], "healthCheckNodePort": 32001}),
        json!({"ports": [{"nodePort": "node-port-2"}, {"nodePort": 30077}], "healthCheckNodePort": "node-port-1"}),
    );
    check(&mut normal, json!({"nodePort": 31500}), json!({"nodePort": "node-port-2"}));
    check(&mut normal, json!({"nodePort": 70000}), json!({"nodePort": 70000}));
}
