//! Who may what.

use serde_json::{Value, json};

use crate::cluster::{Cluster, MAPS, config_map};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

fn role(name: &str, verbs: &[&str], resources: &[&str]) -> Value {
    json!({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name},
        "rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}]})
}

fn binding(name: &str, kind: &str, role: &str, user: &str) -> Value {
    json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
}

#[tokio::test]
async fn a_role_allows_what_it_says_and_a_refusal_reads_as_upstreams() {
    let cluster = Cluster::start().await;
    let (admin, alice) = (cluster.admin(), cluster.user("alice", &[]));
    let refused = alice.get(MAPS).await.expect(403);
    assert_eq!(
        refused.message(),
        "configmaps is forbidden: User \"alice\" cannot list resource \"configmaps\" in API group \"\" in the namespace \
         \"default\""
    );
    let refused = alice.get("/api/v1/nodes/n").await.expect(403);
    assert_eq!(
        refused.message(),
        "nodes \"n\" is forbidden: User \"alice\" cannot get resource \"nodes\" in API group \"\" at the cluster scope"
    );
    assert_eq!(
        alice.get("/metrics").await.expect(403).message(),
        "forbidden: User \"alice\" cannot get path \"/metrics\""
    );
    let roles = format!("{RBAC}/namespaces/default/roles");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    admin.post(&roles, role("reader", &["get", "list"], &["configmaps"])).await.expect(201);
    admin.post(&bindings, binding("b", "Role", "reader", "alice")).await.expect(201);
    alice.get(MAPS).await.expect(200);
    alice.post(MAPS, config_map("a", "1")).await.expect(403);
    alice.get("/api/v1/namespaces/kube-system/configmaps").await.expect(403);
    admin.delete(&format!("{bindings}/b")).await.expect(200);
    alice.get(MAPS).await.expect(403);
}

#[tokio::test]
async fn the_default_roles_are_there_and_aggregated() {
    let cluster = Cluster::start().await;
    let (admin, alice) = (cluster.admin(), cluster.user("alice", &[]));
    let view = admin.get(&format!("{RBAC}/clusterroles/view")).await.expect(200);
    assert!(!view.at("/rules").as_array().unwrap().is_empty());
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    admin.post(&bindings, binding("b", "ClusterRole", "view", "alice")).await.expect(201);
    alice.get(MAPS).await.expect(200);
    alice.get("/api/v1/namespaces/default/secrets").await.expect(403);
    alice.get("/version").await.expect(200);
    alice.get("/api").await.expect(200);
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let cluster = Cluster::start().await;
    let (admin, alice) = (cluster.admin(), cluster.user("alice", &[]));
    let roles = format!("{RBAC}/namespaces/default/roles");
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let grants = json!({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "grants"},
        "rules": [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create"]},
                  {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]});
    admin.post(&roles, grants).await.expect(201);
    admin.post(&bindings, binding("alice", "Role", "grants", "alice")).await.expect(201);
    alice.post(&roles, role("fine", &["get"], &["configmaps"])).await.expect(201);
    let refused = alice.post(&roles, role("more", &["get"], &["secrets"])).await.expect(403);
    assert_eq!(
        refused.message(),
        "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"alice\" (groups=[\"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], \
         Verbs:[\"get\"]}"
    );
    alice.post(&bindings, binding("x", "ClusterRole", "cluster-admin", "bob")).await.expect(403);
    alice.post(&bindings, binding("y", "Role", "fine", "bob")).await.expect(201);
}

#[tokio::test]
async fn users_are_impersonated_by_those_who_may() {
    let cluster = Cluster::start().await;
    let (admin, alice) = (cluster.admin(), cluster.user("alice", &[]));
    let as_bob = [("impersonate-user", "bob"), ("impersonate-group", "g")];
    let refused = admin.send(&format!("GET {MAPS}"), &as_bob, "").await.expect(403);
    assert!(refused.message().contains("User \"bob\" cannot list"), "{}", refused.message());
    let refused = alice.send(&format!("GET {MAPS}"), &as_bob, "").await.expect(403);
    assert_eq!(
        refused.message(),
        "users \"bob\" is forbidden: User \"alice\" cannot impersonate resource \"users\" in API group \"\" at the \
         cluster scope"
    );
}

#[tokio::test]
async fn a_node_reads_what_its_pods_need() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let node = cluster.user("system:node:n1", &["system:nodes"]);
    let secrets = "/api/v1/namespaces/default/secrets";
    for name in ["used", "unused"] {
        let secret = json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": name}});
        admin.post(secrets, secret).await.expect(201);
    }
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"nodeName": "n1",
        "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "secret": {"secretName": "used"}}]}});
    let refused = node.get(&format!("{secrets}/used")).await.expect(403);
    assert!(refused.message().ends_with("no relationship found between node 'n1' and this object"));
    admin.post("/api/v1/namespaces/default/pods", pod).await.expect(201);
    node.get(&format!("{secrets}/used")).await.expect(200);
    node.get(&format!("{secrets}/unused")).await.expect(403);
    node.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.expect(200);
    node.get("/api/v1/pods").await.expect(403);
    let own = |name: &str| json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}});
    node.post("/api/v1/nodes", own("n1")).await.expect(201);
    node.post("/api/v1/nodes", own("n2")).await.expect(403);
    node.get("/api/v1/nodes/n1").await.expect(200);
}

#[tokio::test]
async fn a_default_binding_that_was_turned_to_another_role_is_made_anew() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let path = |name: &str| format!("{RBAC}/clusterrolebindings/{name}");
    let turned = |annotation: &str, name: &str| {
        json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": name, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": annotation}},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]})
    };
    for (name, annotation) in [("system:node-proxier", "true"), ("system:volume-scheduler", "false")] {
        admin.delete(&path(name)).await.expect(200);
        admin.post(&format!("{RBAC}/clusterrolebindings"), turned(annotation, name)).await.expect(201);
    }
    let admin = Cluster::over(cluster.store.clone()).await.admin();
    let anew = admin.get(&path("system:node-proxier")).await.expect(200);
    assert_eq!(anew.at("/roleRef/name"), "system:node-proxier");
    assert_eq!(anew.at("/subjects/0/name"), "system:kube-proxy");
    assert_eq!(anew.at("/subjects/1"), json!(null), "who was added goes with the old binding");
    let kept = admin.get(&path("system:volume-scheduler")).await.expect(200);
    assert_eq!(kept.at("/roleRef/name"), "view", "the administrator said no");
}

#[tokio::test]
async fn what_is_served_is_what_was_authorized() {
    let cluster = Cluster::start().await;
    let (admin, alice) = (cluster.admin(), cluster.user("alice", &[]));
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "all"}, "rules": [
        {"apiGroups": ["authentication.k8s.io", "authorization.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["*"]}]});
    admin.post(&format!("{rbac}/roles"), role).await.expect(201);
    let binding = json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "all"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]});
    admin.post(&format!("{rbac}/rolebindings"), binding).await.expect(201);

    // A right in one namespace is none to ask what anybody may anywhere.
    let review = json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"user": "bob", "resourceAttributes": {"verb": "get", "resource": "secrets"}}});
    let group = "/apis/authorization.k8s.io/v1";
    alice.post(&format!("{group}/namespaces/default/subjectaccessreviews"), review.clone()).await.expect(404);
    alice.post(&format!("{group}/subjectaccessreviews"), review.clone()).await.expect(403);
    admin.post(&format!("{group}/subjectaccessreviews/x"), review).await.expect(404);
    let review =
        json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": "x"}});
    let path = "/apis/authentication.k8s.io/v1/namespaces/default/tokenreviews";
    alice.post(path, review).await.expect(404);

    // A right to one name is none to create another.
    alice.post(&format!("{MAPS}/mine"), config_map("yours", "1")).await.expect(405);
    alice.post(MAPS, config_map("yours", "1")).await.expect(403);
    admin.put(MAPS, config_map("yours", "1")).await.expect(405);
    alice.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dmine")).await.expect(200);
    alice.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dmine,metadata.name%3Dyours")).await.expect(200);
    alice.get(&format!("{MAPS}?fieldSelector=metadata.name%21%3Dmine")).await.expect(403);

    // Paths are served as they were authorized.
    for path in ["//version", "/version//", "//readyz", "/openapi//v2"] {
        admin.get(path).await.expect(404);
    }
    admin.send("POST /api/v1/watch/configmaps", &[], "").await.expect(405);
}
