//! Evictions are deletions with the options that the eviction carries.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"nodeName": "n1",
        "serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}]}})
}

fn eviction(name: &str, options: Value) -> Value {
    json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": name}, "deleteOptions": options})
}

#[tokio::test]
async fn an_evicted_pod_is_deleted_as_the_eviction_says() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    admin.post(PODS, pod("p")).await.expect(201);
    let path = format!("{PODS}/p/eviction");
    admin.post(&path, eviction("q", json!({}))).await.expect(400);
    let other = json!({"preconditions": {"uid": "another"}});
    admin.post(&path, eviction("p", other)).await.expect(409);
    admin.post(&format!("{PODS}/q/eviction"), eviction("q", json!({}))).await.expect(404);
    let blind = json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true});
    let refused = admin.post(&path, eviction("p", blind)).await.expect(422).message();
    assert!(refused.ends_with("can not be set for pod eviction, try after removing the option"), "{refused}");

    admin.post(&format!("{path}?dryRun=All"), eviction("p", json!({}))).await.expect(201);
    assert_eq!(admin.get(&format!("{PODS}/p")).await.at("/metadata/deletionTimestamp"), json!(null));
    let stranger = cluster.user("system:node:n2", &["system:nodes"]);
    let refused = stranger.post(&path, eviction("p", json!({}))).await.expect(403);
    assert!(refused.message().ends_with("node n2 can only evict pods with spec.nodeName set to itself"));

    let evicted = admin.post(&path, eviction("p", json!({"gracePeriodSeconds": 7}))).await.expect(201);
    assert_eq!((evicted.at("/kind"), evicted.at("/status")), (json!("Status"), json!("Success")));
    let marked = admin.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(marked.at("/metadata/deletionGracePeriodSeconds"), 7);
    assert_eq!(marked.at("/status/conditions/0/reason"), "EvictionByEvictionAPI");
    let node = cluster.user("system:node:n1", &["system:nodes"]);
    node.post(&path, eviction("p", json!({"gracePeriodSeconds": 0}))).await.expect(201);
    admin.get(&format!("{PODS}/p")).await.expect(404);
}

#[tokio::test]
async fn a_grace_period_beyond_the_end_of_time_can_be_shortened() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    admin.post(PODS, pod("p")).await.expect(201);
    admin.delete(&format!("{PODS}/p?gracePeriodSeconds={}", i64::MAX)).await.expect(200);
    admin.delete(&format!("{PODS}/p?gracePeriodSeconds=5")).await.expect(200);
    admin.delete(&format!("{PODS}/p?gracePeriodSeconds=0")).await.expect(200);
    admin.get(&format!("{PODS}/p")).await.expect(404);
}

#[tokio::test]
async fn a_pod_may_have_the_name_of_a_namespace_that_stays() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    admin.post(PODS, pod("default")).await.expect(201);
    admin.post(&format!("{PODS}/default/eviction"), eviction("default", json!({}))).await.expect(201);
}
