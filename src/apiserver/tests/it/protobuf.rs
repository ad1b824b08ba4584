//! Clients that speak protobuf, as kubectl's `create` commands and client-go's typed clients do.

use http::header::CONTENT_TYPE;
use machinery::gvk::{GroupVersion, GroupVersionKind};
use machinery::{json, protobuf, schema};
use serde_json::{Value, json};

use crate::cluster::{Answer, Client, Cluster, MAPS, config_map};

const PROTOBUF: (&str, &str) = ("content-type", protobuf::MEDIA_TYPE);
/// What client-go sends.
const EITHER: (&str, &str) = ("accept", "application/vnd.kubernetes.protobuf,application/json");

fn kind_of(object: &Value) -> GroupVersionKind {
    let text = |name: &str| object[name].as_str().unwrap();
    GroupVersion::parse(text("apiVersion")).unwrap().with_kind(text("kind"))
}

fn encoded(object: &Value) -> Vec<u8> {
    let kind = kind_of(object);
    protobuf::encode(&json::Tree::from_value(object), schema::of(&kind).unwrap(), &kind)
}

/// The object in an answer that must be in protobuf.
#[track_caller]
fn decoded(answer: &Answer) -> Value {
    assert_eq!(answer.headers[CONTENT_TYPE], protobuf::MEDIA_TYPE, "{}", answer.text);
    let (_, tree) = protobuf::decode(&answer.bytes, &GroupVersionKind::default()).unwrap();
    tree.into_value()
}

/// Sends an object in protobuf; the answer's object.
async fn send(client: &Client, line: &str, object: Value, code: u16) -> Value {
    decoded(&client.send(line, &[PROTOBUF, EITHER], encoded(&object)).await.expect(code))
}

#[tokio::test]
async fn an_object_is_created_read_replaced_and_deleted_in_protobuf() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let created = send(&admin, &format!("POST {MAPS}"), config_map("a", "1"), 201).await;
    assert_eq!(created, admin.get(&format!("{MAPS}/a")).await.json(), "the same as in JSON");
    let read = admin.send(&format!("GET {MAPS}/a"), &[EITHER], "").await.expect(200);
    assert_eq!(decoded(&read), created);

    let mut changed = created;
    changed["data"]["key"] = json!("2");
    let replaced = send(&admin, &format!("PUT {MAPS}/a"), changed, 200).await;
    assert_eq!(replaced["data"]["key"], "2");

    let options = json!({
        "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"},
    });
    let refused = send(&admin, &format!("DELETE {MAPS}/a"), options, 409).await;
    assert_eq!(refused["reason"], "Conflict");
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
    let deleted = send(&admin, &format!("DELETE {MAPS}/a"), options, 200).await;
    assert_eq!((&deleted["kind"], &deleted["status"]), (&json!("Status"), &json!("Success")));
}

#[tokio::test]
async fn a_deployment_from_protobuf_is_stored_as_one_from_json() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = |name: &str| {
        json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{
                "name": "c", "image": "i", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}},
                "readinessProbe": {"httpGet": {"port": 80}},
            }]}},
        }})
    };
    let from_protobuf = send(&admin, &format!("POST {path}"), deployment("a"), 201).await;
    let from_json = admin.post(path, deployment("b")).await.expect(201).json();
    assert_eq!(from_protobuf["spec"], from_json["spec"]);
    assert_eq!(from_protobuf["metadata"]["generateName"], from_json["metadata"]["generateName"]);

    let scale = send_scale(&admin, &format!("{path}/a/scale")).await;
    assert_eq!(scale["spec"]["replicas"], 3);
}

async fn send_scale(admin: &Client, path: &str) -> Value {
    let mut scale = decoded(&admin.send(&format!("GET {path}"), &[EITHER], "").await.expect(200));
    scale["spec"]["replicas"] = json!(3);
    send(admin, &format!("PUT {path}"), scale, 200).await
}

#[tokio::test]
async fn special_endpoints_take_protobuf_too() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "s"}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    send(&admin, &format!("POST {accounts}"), account, 201).await;
    let request = json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 3600},
    });
    let token = send(&admin, &format!("POST {accounts}/s/token"), request, 201).await;
    assert!(token["status"]["token"].as_str().unwrap().split('.').count() == 3, "{token}");

    let review = json!({
        "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    });
    let path = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(send(&admin, path, review, 201).await["status"]["allowed"], true);

    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {"serviceAccountName": "s", "containers": [{"name": "c", "image": "i"}]}});
    send(&admin, "POST /api/v1/namespaces/default/pods", pod, 201).await;
    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"}});
    send(&admin, "POST /api/v1/namespaces/default/pods/p/binding", binding, 201).await;
    assert_eq!(admin.get("/api/v1/namespaces/default/pods/p").await.at("/spec/nodeName"), "n");
}

#[tokio::test]
async fn lists_are_in_json_for_those_who_take_it() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let either = admin.send(&format!("GET {MAPS}"), &[EITHER], "").await.expect(200);
    assert_eq!(either.headers[CONTENT_TYPE], "application/json");
    let only = [("accept", protobuf::MEDIA_TYPE)];
    let list = decoded(&admin.send(&format!("GET {MAPS}"), &only, "").await.expect(200));
    assert_eq!((&list["kind"], &list["items"][0]["data"]["key"]), (&json!("ConfigMapList"), &json!("1")));
    let version = admin.send("GET /version", &only, "").await.expect(200);
    assert_eq!(version.at("/minor"), "36");
}

#[tokio::test]
async fn bad_protobuf_is_refused_as_upstream_does() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let check = async |body: Vec<u8>, message: &str| {
        let answer = admin.send(&format!("POST {MAPS}"), &[PROTOBUF], body).await.expect(400);
        assert_eq!(answer.message(), message);
    };
    check(
        b"{}".to_vec(),
        "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a \
         protobuf message, expected prefix [107 56 115 0] ({})",
    )
    .await;
    check(
        b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\x12\x03\x0a\x05\x0a".to_vec(),
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: unexpected EOF",
    )
    .await;
    check(
        encoded(&json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}})),
        "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): \
         unknown conversion",
    )
    .await;
    check(
        b"k8s\0\x0a\x09\x0a\x04x/v1\x12\x01Y\x12\x00".to_vec(),
        "Y in version \"v1\" cannot be handled as a ConfigMap: no kind \"Y\" is registered for version \"x/v1\" in \
         scheme \"pkg/api/legacyscheme/scheme.go:30\"",
    )
    .await;
}
