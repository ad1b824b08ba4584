//! Bootstrap tokens: the user that one stands for, for as long as its Secret says so.

use serde_json::{Value, json};

use crate::cluster::{Client, Cluster};

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const TOKEN: &str = "abc123.0123456789abcdef";

fn secret(more: Value) -> Value {
    let mut data = json!({"token-id": "abc123", "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true", "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"});
    for (key, value) in more.as_object().unwrap() {
        data[key] = value.clone();
    }
    json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "bootstrap-token-abc123"},
        "type": "bootstrap.kubernetes.io/token", "stringData": data})
}

/// Whom the server takes the token for.
async fn review(admin: &Client, spec: Value) -> Value {
    let body = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": spec});
    admin.post("/apis/authentication.k8s.io/v1/tokenreviews", body).await.expect(201).at("/status")
}

#[tokio::test]
async fn a_token_stands_for_a_bootstrapper_while_its_secret_is_there() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(SECRETS, secret(json!({}))).await.expect(201);
    let status = review(&admin, json!({"token": TOKEN})).await;
    assert_eq!(status["user"]["username"], "system:bootstrap:abc123");
    let groups =
        ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"];
    assert_eq!(status["user"]["groups"], json!(groups));
    let other = review(&admin, json!({"token": TOKEN, "audiences": ["other"]})).await;
    assert_eq!(other["authenticated"], Value::Null, "{other}");
    for wrong in ["abc123.0123456789abcdeX", "abc123.0123456789abcdee", "abc124.0123456789abcdef"] {
        assert_eq!(review(&admin, json!({"token": wrong})).await["authenticated"], Value::Null, "{wrong}");
    }
    admin.delete(&format!("{SECRETS}/bootstrap-token-abc123")).await.expect(200);
    assert_eq!(review(&admin, json!({"token": TOKEN})).await["authenticated"], Value::Null);
}

#[tokio::test]
async fn a_token_that_has_expired_or_is_for_something_else_does_not_hold() {
    for more in [
        json!({"expiration": "2020-01-01T00:00:00Z"}),
        json!({"expiration": "soon"}),
        json!({"usage-bootstrap-authentication": "false"}),
        json!({"auth-extra-groups": "system:masters"}),
        json!({"token-id": "abc124"}),
    ] {
        let cluster = Cluster::start().await;
        let admin = cluster.admin();
        admin.post(SECRETS, secret(more.clone())).await.expect(201);
        assert_eq!(review(&admin, json!({"token": TOKEN})).await["authenticated"], Value::Null, "{more}");
    }
}
