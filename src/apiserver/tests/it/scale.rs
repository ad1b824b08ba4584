//! Status and scale.

use serde_json::json;

use crate::cluster::Cluster;

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

#[tokio::test]
async fn a_scale_changes_replicas_and_a_status_nothing_else() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let set = json!({"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": {"name": "r"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    admin.post(SETS, set).await.expect(201);
    let path = format!("{SETS}/r");
    let scale = admin.get(&format!("{path}/scale")).await.expect(200);
    assert_eq!((scale.at("/kind"), scale.at("/spec/replicas")), (json!("Scale"), json!(1)));
    let patched =
        admin.patch(&format!("{path}/scale"), "merge-patch", json!({"spec": {"replicas": 3}})).await;
    assert_eq!(patched.expect(200).at("/spec/replicas"), 3);
    let now = admin.get(&path).await.expect(200);
    assert_eq!((now.at("/spec/replicas"), now.at("/metadata/generation")), (json!(3), json!(2)));
    let refused =
        admin.patch(&format!("{path}/scale"), "merge-patch", json!({"spec": {"replicas": -1}})).await;
    assert!(refused.expect(422).message().contains("must be greater than or equal to 0"));
    let stale = admin.put(&format!("{path}/scale"), scale.json()).await.expect(409);
    assert_eq!(stale.at("/reason"), "Conflict");

    let status = json!({"status": {"replicas": 3}, "spec": {"replicas": 9}});
    let written = admin.patch(&format!("{path}/status"), "merge-patch", status).await.expect(200);
    assert_eq!((written.at("/status/replicas"), written.at("/spec/replicas")), (json!(3), json!(3)));
    let main = json!({"status": {"replicas": 7}});
    let written = admin.patch(&path, "merge-patch", main).await.expect(200);
    assert_eq!(written.at("/status/replicas"), 3);
}
