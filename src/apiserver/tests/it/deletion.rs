//! Deletion: preconditions, finalizers, grace, namespaces.

use serde_json::json;

use crate::cluster::{Cluster, MAPS, config_map};

#[tokio::test]
async fn an_object_is_deleted_once() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let uid = admin.post(MAPS, config_map("a", "1")).await.expect(201).at("/metadata/uid");
    let path = format!("{MAPS}/a");
    let other = json!({"preconditions": {"uid": "x"}}).to_string();
    let refused = admin.send(&format!("DELETE {path}"), &[], other).await.expect(409);
    assert!(
        refused.message().contains("the UID in the precondition (x) does not match"),
        "{}",
        refused.message()
    );
    let gone = admin.delete(&path).await.expect(200);
    assert_eq!((gone.at("/kind"), gone.at("/status")), (json!("Status"), json!("Success")));
    assert_eq!(gone.at("/details/uid"), uid);
    assert_eq!(admin.delete(&path).await.expect(404).message(), "configmaps \"a\" not found");
}

#[tokio::test]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let path = format!("{MAPS}/a");
    let mut body = config_map("a", "1");
    body["metadata"]["finalizers"] = json!(["example.com/x"]);
    admin.post(MAPS, body).await.expect(201);
    let marked = admin.delete(&path).await.expect(200);
    assert!(marked.at("/metadata/deletionTimestamp").is_string(), "{}", marked.text);
    assert_eq!(marked.at("/metadata/deletionGracePeriodSeconds"), 0);
    let more = json!({"metadata": {"finalizers": ["example.com/x", "example.com/y"]}});
    admin.patch(&path, "merge-patch", more).await.expect(422);
    admin.patch(&path, "merge-patch", json!({"metadata": {"finalizers": null}})).await.expect(200);
    admin.get(&path).await.expect(404);
}

#[tokio::test]
async fn propagation_becomes_finalizers() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    for (policy, expected) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        let name = policy.to_lowercase();
        admin.post(MAPS, config_map(&name, "1")).await.expect(201);
        let marked = admin.delete(&format!("{MAPS}/{name}?propagationPolicy={policy}")).await.expect(200);
        assert_eq!(marked.at("/metadata/finalizers"), json!([expected]));
    }
    admin.post(MAPS, config_map("b", "1")).await.expect(201);
    admin.delete(&format!("{MAPS}/b?propagationPolicy=Sideways")).await.expect(422);
    admin.delete(&format!("{MAPS}/b?propagationPolicy=Background")).await.expect(200);
    admin.get(&format!("{MAPS}/b")).await.expect(404);
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    for (name, color) in [("a", "red"), ("b", "blue"), ("c", "red")] {
        let mut body = config_map(name, "1");
        body["metadata"]["labels"] = json!({"color": color});
        admin.post(MAPS, body).await.expect(201);
    }
    admin.delete(&format!("{MAPS}?labelSelector=color%3Dred")).await.expect(200);
    let left = admin.get(MAPS).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["name"], "b");
}

#[tokio::test]
async fn a_namespace_goes_when_it_is_finalized() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let body = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "x"}});
    let made = admin.post("/api/v1/namespaces", body).await.expect(201);
    assert_eq!(made.at("/spec/finalizers"), json!(["kubernetes"]));
    let marked = admin.delete("/api/v1/namespaces/x").await.expect(200);
    assert_eq!(marked.at("/status/phase"), "Terminating");
    let refused = admin.post("/api/v1/namespaces/x/configmaps", config_map("a", "1")).await.expect(403);
    assert_eq!(
        refused.message(),
        "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being terminated"
    );
    assert_eq!(refused.at("/details/causes/0/reason"), "NamespaceTerminating");
    let mut finalized = marked.json();
    finalized["spec"] = json!({"finalizers": ["kubernetes", "nonsense"]});
    let refused = admin.put("/api/v1/namespaces/x/finalize", finalized.clone()).await.expect(422);
    assert_eq!(
        refused.message(),
        "Namespace \"x\" is invalid: spec.finalizers[1]: Invalid value: \"nonsense\": \
         name is neither a standard finalizer name nor is it fully qualified"
    );
    assert_eq!(admin.get("/api/v1/namespaces/x").await.at("/spec/finalizers"), json!(["kubernetes"]));
    finalized["spec"] = json!({});
    admin.put("/api/v1/namespaces/x/finalize", finalized).await.expect(200);
    admin.get("/api/v1/namespaces/x").await.expect(404);
    let immortal = admin.delete("/api/v1/namespaces/default").await.expect(403);
    assert_eq!(immortal.message(), "namespaces \"default\" is forbidden: this namespace may not be deleted");
}
