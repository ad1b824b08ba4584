//! What a kubelet's identity may change, and what it may not.

use serde_json::{Value, json};

use crate::cluster::{Answer, Client, Cluster};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";

fn node(labels: Value) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1", "labels": labels}})
}

/// A cluster with a service account; its administrator and the kubelet of node `n1`.
async fn start() -> (Cluster, Client, Client) {
    let cluster = Cluster::start().await;
    let (admin, kubelet) = (cluster.admin(), cluster.user("system:node:n1", &["system:nodes"]));
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    (cluster, admin, kubelet)
}

#[track_caller]
fn refused(answer: Answer, why: &str) {
    let answer = answer.expect(403);
    assert!(answer.message().ends_with(why), "{} should end with {why}", answer.message());
}

#[tokio::test]
async fn a_kubelet_does_not_steer_pods_to_its_node() {
    let (_cluster, admin, kubelet) = start().await;
    let master = "node-role.kubernetes.io/control-plane";
    refused(
        kubelet.post(NODES, node(json!({master: ""}))).await,
        &format!("node \"n1\" is not allowed to set the following labels: {master}"),
    );
    kubelet.post(NODES, node(json!({"kubernetes.io/hostname": "n1"}))).await.expect(201);
    let own = format!("{NODES}/n1");
    let merge = "merge-patch";
    let restricted = json!({"metadata": {"labels": {"node-restriction.kubernetes.io/pci": "yes"}}});
    refused(
        kubelet.patch(&own, merge, restricted).await,
        "is not allowed to modify labels: node-restriction.kubernetes.io/pci",
    );
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    refused(kubelet.patch(&own, merge, taint.clone()).await, "node \"n1\" is not allowed to modify taints");
    admin.patch(&own, merge, taint).await.expect(200);
    let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "u"}]}});
    refused(kubelet.patch(&own, merge, owner).await, "node \"n1\" is not allowed to modify ownerReferences");
    kubelet.patch(&own, merge, json!({"metadata": {"labels": {"example.com/a": "b"}}})).await.expect(200);
    let other =
        kubelet.patch(&format!("{NODES}/n2"), merge, json!({"metadata": {"labels": {"a": "b"}}})).await;
    assert!(matches!(other.code, 403 | 404), "{}", other.text);
    kubelet.delete(&own).await.expect(403);
}

#[tokio::test]
async fn a_kubelet_creates_mirror_pods_alone() {
    let (_cluster, _, kubelet) = start().await;
    let uid = kubelet.post(NODES, node(json!({}))).await.expect(201).at("/metadata/uid");
    let mirror = json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}});
    let changed = |pointer: &str, value: Value| {
        let mut pod = mirror.clone();
        *pod.pointer_mut(pointer).unwrap() = value;
        pod
    };
    let can_only = "node \"n1\" can only create";
    for (pod, why) in [
        (changed("/metadata/annotations", json!({})), format!("{can_only} mirror pods")),
        (changed("/spec/nodeName", json!("n2")), format!("{can_only} pods with spec.nodeName set to itself")),
        (
            changed("/metadata/ownerReferences", json!([])),
            format!("{can_only} pods with an owner reference set to itself"),
        ),
        (
            changed("/metadata/ownerReferences/0/controller", json!(false)),
            format!("{can_only} pods with a controller owner reference set to itself"),
        ),
    ] {
        refused(kubelet.post(PODS, pod).await, &why);
    }
    kubelet.post(PODS, mirror.clone()).await.expect(201);
    let greedy = json!([{"name": "v", "projected": {"sources": [{"configMap": {"name": "c"}}]}}]);
    let mut pod = changed("/metadata/name", json!("g"));
    pod["spec"]["volumes"] = greedy;
    kubelet.post(PODS, pod).await.expect(403);
}

#[tokio::test]
async fn a_kubelet_reports_and_deletes_its_own_pods() {
    let (_cluster, admin, kubelet) = start().await;
    let pod = |name: &str, node: &str| {
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}})
    };
    admin.post(PODS, pod("mine", "n1")).await.expect(201);
    admin.post(PODS, pod("other", "n2")).await.expect(201);
    let (merge, running) = ("merge-patch", json!({"status": {"phase": "Running"}}));
    kubelet.patch(&format!("{PODS}/mine/status"), merge, running.clone()).await.expect(200);
    refused(
        kubelet.patch(&format!("{PODS}/other/status"), merge, running).await,
        "node \"n1\" can only update pod status for pods with spec.nodeName set to itself",
    );
    refused(
        kubelet.delete(&format!("{PODS}/other?gracePeriodSeconds=0")).await,
        "node \"n1\" can only delete pods with spec.nodeName set to itself",
    );
    kubelet
        .patch(&format!("{PODS}/mine"), merge, json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .expect(403);
    kubelet.delete(&format!("{PODS}/mine?gracePeriodSeconds=0")).await.expect(200);
}

#[tokio::test]
async fn a_kubelet_gets_tokens_of_its_pods_for_the_audiences_that_they_name() {
    let (_cluster, admin, kubelet) = start().await;
    let pod = |name: &str, node: &str| {
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"nodeName": node,
            "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "projected": {"sources": [
                {"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}]}})
    };
    let mine = admin.post(PODS, pod("mine", "n1")).await.expect(201).at("/metadata/uid");
    let other = admin.post(PODS, pod("other", "n2")).await.expect(201).at("/metadata/uid");
    let ask = async |spec: Value| {
        let body = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec});
        kubelet.post("/api/v1/namespaces/default/serviceaccounts/default/token", body).await
    };
    let bound =
        |name: &str, uid: &Value| json!({"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid});
    refused(ask(json!({})).await, "node requested token not bound to a pod");
    refused(
        ask(json!({"boundObjectRef": bound("other", &other)})).await,
        "node requested token bound to a pod scheduled on a different node",
    );
    ask(json!({"boundObjectRef": bound("mine", &mine)})).await.expect(201);
    ask(json!({"boundObjectRef": bound("mine", &mine), "audiences": ["vault"]})).await.expect(201);
    refused(
        ask(json!({"boundObjectRef": bound("mine", &mine), "audiences": ["bank"]})).await,
        "audience \"bank\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for \
         this audience",
    );
    refused(
        ask(json!({"boundObjectRef": bound("mine", &mine), "audiences": ["vault", "bank"]})).await,
        "node may only request 0 or 1 audiences",
    );
}
