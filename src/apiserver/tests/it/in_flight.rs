//! A server that is asked for more than it can do says so.

use futures::future::join_all;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::cluster::{Client, Cluster, MAPS, config_map};

/// Upstream's `--max-requests-inflight`.
const READING: usize = 400;

/// Somebody who may do everything, and yet must wait for others.
async fn grant(admin: &Client) {
    let binding = json!({
        "kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "busy"}],
    });
    admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await.expect(201);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_refused() {
    let cluster = Cluster::start().await;
    let (admin, busy) = (cluster.admin(), cluster.user("busy", &[]));
    grant(&admin).await;
    admin.post(MAPS, config_map("a", &"x".repeat(50_000))).await.expect(201);
    // Lists that nobody reads to their end: they are longer than what is sent before somebody asks for more.
    let opened = (0..READING).map(|_| busy.open("GET /api/v1/configmaps", &[], ""));
    let mut opened = join_all(opened).await;
    assert!(opened.iter().all(|answer| answer.status() == 200));

    let refused = busy.get(&format!("{MAPS}/a")).await.expect(429);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(refused.text, "Too many requests, please try again later.\n");

    admin.get(&format!("{MAPS}/a")).await.expect(200);
    busy.post(MAPS, config_map("b", "1")).await.expect(201);
    busy.get(&format!("{MAPS}?watch=1&timeoutSeconds=1")).await.expect(200);
    busy.get("/healthz").await.expect(429);

    let list = opened.pop().unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(serde_json::from_slice::<Value>(&list).is_ok());
    busy.get(&format!("{MAPS}/a")).await.expect(200);
}
