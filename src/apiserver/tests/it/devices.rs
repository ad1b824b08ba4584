//! Devices, their claims and drivers: what a kubelet may see and offer, who may have devices as an administrator, who
//! allocates.

use serde_json::{Value, json};

use crate::cluster::Cluster;

const GROUP: &str = "/apis/resource.k8s.io/v1";
const DRIVERS: &str = "/apis/storage.k8s.io/v1/csinodes";

fn slice(name: &str, node: &str) -> Value {
    json!({"kind": "ResourceSlice", "apiVersion": "resource.k8s.io/v1", "metadata": {"name": name}, "spec": {
        "driver": "d.example.com", "nodeName": node, "pool": {"name": node, "resourceSliceCount": 1}}})
}

fn claim(name: &str, exactly: Value) -> Value {
    json!({"kind": "ResourceClaim", "apiVersion": "resource.k8s.io/v1", "metadata": {"name": name},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}}})
}

#[tokio::test]
async fn a_kubelet_offers_devices_and_drivers_of_its_own_node_alone() {
    let cluster = Cluster::start().await;
    let (admin, kubelet) = (cluster.admin(), cluster.user("system:node:n1", &["system:nodes"]));
    let slices = format!("{GROUP}/resourceslices");
    kubelet.post(&slices, slice("own", "n1")).await.expect(201);
    let refused = kubelet.post(&slices, slice("other", "n2")).await.expect(403).message();
    assert!(refused.contains("same NodeName as the requesting node"), "{refused}");
    admin.post(&slices, slice("other", "n2")).await.expect(201);
    kubelet.get(&format!("{slices}/own")).await.expect(200);
    kubelet.get(&format!("{slices}/other")).await.expect(403);
    kubelet.get(&slices).await.expect(403);
    let selected = kubelet.get(&format!("{slices}?fieldSelector=spec.nodeName%3Dn1")).await.expect(200);
    assert_eq!(selected.at("/items/0/metadata/name"), "own");
    assert_eq!(selected.at("/items/1"), Value::Null);

    let driver = |name: &str| json!({"kind": "CSINode", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": name}, "spec": {"drivers": []}});
    kubelet.post(DRIVERS, driver("n1")).await.expect(201);
    kubelet.post(DRIVERS, driver("n2")).await.expect(403);
    kubelet.get(&format!("{DRIVERS}/n1")).await.expect(200);
    kubelet.get(DRIVERS).await.expect(403);
}

#[tokio::test]
async fn an_administrators_access_is_for_namespaces_that_are_labelled_for_it() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let claims = format!("{GROUP}/namespaces/default/resourceclaims");
    let body = claim("c", json!({"deviceClassName": "gpu", "adminAccess": true}));
    let refused = admin.post(&claims, body.clone()).await.expect(422).message();
    assert!(refused.contains("resource.kubernetes.io/admin-access: true"), "{refused}");
    let label = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    admin.patch("/api/v1/namespaces/default", "merge-patch", label).await.expect(200);
    admin.post(&claims, body).await.expect(201);
}

#[tokio::test]
async fn whoever_writes_the_status_of_claims_does_not_allocate_by_that_alone() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let claims = format!("{GROUP}/namespaces/default/resourceclaims");
    admin.post(&claims, claim("c", json!({"deviceClassName": "gpu"}))).await.expect(201);
    let rules = |resource: &str| json!([{"apiGroups": ["resource.k8s.io"], "resources": [resource], "verbs": ["patch", "get"]}]);
    let role = |name: &str, resource: &str| json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}, "rules": rules(resource)});
    let binding = |name: &str| {
        json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}]})
    };
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let grant = async |name: &str, resource: &str| {
        admin.post(&format!("{rbac}/clusterroles"), role(name, resource)).await.expect(201);
        admin.post(&format!("{rbac}/clusterrolebindings"), binding(name)).await.expect(201);
    };
    grant("status", "resourceclaims/status").await;
    let user = cluster.user("u", &[]);
    let result = json!({"request": "r", "driver": "d.example.com", "pool": "p", "device": "x"});
    let status = json!({"status": {"allocation": {"devices": {"results": [result]}}}});
    let path = format!("{claims}/c/status");
    let refused = user.patch(&path, "merge-patch", status.clone()).await.expect(422).message();
    assert!(refused.contains("resource=\"resourceclaims/binding\", verb=\"patch\" permission"), "{refused}");
    grant("binding", "resourceclaims/binding").await;
    user.patch(&path, "merge-patch", status).await.expect(200);

    let device = json!({"status": {"devices": [{"driver": "d.example.com", "pool": "p", "device": "x"}]}});
    let refused = user.patch(&path, "merge-patch", device.clone()).await.expect(422).message();
    assert!(refused.contains("verb=\"[arbitrary-node:patch]\" permission"), "{refused}");
    admin.patch(&path, "merge-patch", device).await.expect(200);
    let table = [("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")];
    let shown = admin.send(&format!("GET {claims}"), &table, "").await.expect(200);
    assert_eq!(shown.at("/rows/0/cells/1"), "allocated");
}
