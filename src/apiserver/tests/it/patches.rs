//! The patch languages.

use serde_json::{Value, json};

use crate::cluster::{Client, Cluster, MAPS, config_map};

/// Patches `a` and compares the code and a part of the answer.
async fn check(admin: &Client, kind: &str, patch: Value, code: u16, pointer: &str, expected: Value) {
    let answer = admin.patch(&format!("{MAPS}/a"), kind, patch).await.expect(code);
    assert_eq!(answer.at(pointer), expected, "{}", answer.text);
}

#[tokio::test]
async fn objects_are_patched_in_three_languages() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    check(&admin, "merge-patch", json!({"data": {"x": "y", "key": null}}), 200, "/data", json!({"x": "y"}))
        .await;
    let add = json!([{"op": "add", "path": "/data/z", "value": "1"}, {"op": "test", "path": "/data/x", "value": "y"}]);
    check(&admin, "json-patch", add, 200, "/data", json!({"x": "y", "z": "1"})).await;
    let labels = json!({"metadata": {"labels": {"l": "1"}}});
    check(&admin, "strategic-merge-patch", labels, 200, "/metadata/labels", json!({"l": "1"})).await;

    let failing = json!([{"op": "test", "path": "/data/x", "value": "no"}]);
    check(&admin, "json-patch", failing, 422, "/reason", json!("Invalid")).await;
    check(&admin, "json-patch", json!({"a": 1}), 400, "/reason", json!("BadRequest")).await;
    check(&admin, "merge-patch", json!([1]), 400, "/reason", json!("BadRequest")).await;
    check(&admin, "merge-patch", json!({"data": {"x": 1}}), 422, "/reason", json!("Invalid")).await;
    check(&admin, "merge-patch", json!({"metadata": {"name": "b"}}), 400, "/reason", json!("BadRequest"))
        .await;
    let stale = json!({"metadata": {"resourceVersion": "1"}});
    check(&admin, "merge-patch", stale, 409, "/reason", json!("Conflict")).await;
    check(&admin, "apply-patch", json!({}), 415, "/reason", json!("UnsupportedMediaType")).await;
    let missing = admin.patch(&format!("{MAPS}/b"), "merge-patch", json!({})).await.expect(404);
    assert_eq!(missing.message(), "configmaps \"b\" not found");
}

#[tokio::test]
async fn patches_at_once_all_take_effect() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let path = format!("{MAPS}/a");
    let patches = (0..20).map(|at| {
        let (admin, path) = (admin.clone(), path.clone());
        async move {
            admin.patch(&path, "merge-patch", json!({"data": {format!("k{at}"): "v"}})).await.expect(200)
        }
    });
    futures::future::join_all(patches).await;
    let data = admin.get(&path).await.at("/data");
    assert_eq!(data.as_object().unwrap().len(), 21);
}
