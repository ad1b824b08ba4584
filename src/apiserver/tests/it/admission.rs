//! What admission adds to pods.

use serde_json::json;

use crate::cluster::Cluster;

#[tokio::test]
async fn a_pod_gets_its_account_token_tolerations_and_priority() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = |account: &str| {
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
            "spec": {"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]}})
    };
    let refused = admin.post(pods, pod("missing")).await.expect(403);
    assert_eq!(
        refused.message(),
        "pods \"p\" is forbidden: error looking up service account default/missing: serviceaccount \"missing\" not found"
    );
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    let made = admin.post(pods, pod("")).await.expect(201);
    assert_eq!(made.at("/spec/serviceAccountName"), "default");
    let volume = made.at("/spec/volumes/0/name");
    assert!(volume.as_str().unwrap().starts_with("kube-api-access-"));
    assert_eq!(made.at("/spec/containers/0/volumeMounts/0/name"), volume);
    assert_eq!(made.at("/spec/tolerations").as_array().unwrap().len(), 2);
    assert_eq!(made.at("/spec/priority"), 0);
}

#[tokio::test]
async fn a_pod_is_bound_once_and_deleted_with_grace() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    admin.post(pods, pod).await.expect(201);
    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n1"}});
    admin.post(&format!("{pods}/p/binding"), binding.clone()).await.expect(201);
    let bound = admin.get(&format!("{pods}/p")).await.expect(200);
    assert_eq!(bound.at("/spec/nodeName"), "n1");
    assert_eq!(bound.at("/status/conditions/0/type"), "PodScheduled");
    let again = admin.post(&format!("{pods}/p/binding"), binding).await.expect(409);
    assert!(again.message().contains("pod p is already assigned to node \"n1\""), "{}", again.message());

    let marked = admin.delete(&format!("{pods}/p")).await.expect(200);
    assert_eq!(marked.at("/metadata/deletionGracePeriodSeconds"), 30);
    let shorter = admin.delete(&format!("{pods}/p?gracePeriodSeconds=5")).await.expect(200);
    assert_eq!(shorter.at("/metadata/deletionGracePeriodSeconds"), 5);
    admin.get(&format!("{pods}/p")).await.expect(200);
    admin.delete(&format!("{pods}/p?gracePeriodSeconds=0")).await.expect(200);
    admin.get(&format!("{pods}/p")).await.expect(404);
}
