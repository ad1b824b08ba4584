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
    let eviction = json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"},
        "deleteOptions": {"dryRun": ["All"]}});
    send(&admin, "POST /api/v1/namespaces/default/pods/p/eviction", eviction, 201).await;
    let binding = json!({"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"}});
    send(&admin, "POST /api/v1/namespaces/default/pods/p/binding", binding, 201).await;
    assert_eq!(admin.get("/api/v1/namespaces/default/pods/p").await.at("/spec/nodeName"), "n");
}

#[tokio::test]
async fn lists_are_the_same_in_protobuf() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let list = async |query: &str| {
        let answer = admin.send(&format!("GET {MAPS}{query}"), &[EITHER], "").await.expect(200);
        assert_eq!(
            decoded(&answer),
            with_kinds(admin.get(&format!("{MAPS}{query}")).await.json()),
            "{query}"
        );
        answer.bytes.len()
    };
    list("").await;
    for number in 0..5 {
        admin.post(MAPS, config_map(&format!("small-{number}"), "1")).await.expect(201);
    }
    list("").await;
    list("?limit=2").await;
    list("?labelSelector=none").await;
    // More than is held while it is measured.
    for number in 0..14 {
        admin.post(MAPS, config_map(&format!("large-{number}"), &"x".repeat(100_000))).await.expect(201);
    }
    assert!(list("").await > 1_400_000);
    let only = [("accept", protobuf::MEDIA_TYPE)];
    admin.send("GET /version", &only, "").await.expect(406);
}

/// JSON lists leave out what protobuf says by the list's kind: so do the items that are decoded.
fn with_kinds(mut list: Value) -> Value {
    if list["items"].as_array().is_some_and(Vec::is_empty) {
        list.as_object_mut().unwrap().remove("items");
    }
    list
}

#[tokio::test]
async fn metadata_alone_comes_in_protobuf_and_tables_do_not() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let accept = |kind: &str| format!("application/vnd.kubernetes.protobuf;as={kind};g=meta.k8s.io;v=v1");
    let get =
        async |path: &str, accept: &str| admin.send(&format!("GET {path}"), &[("accept", accept)], "").await;
    let object = get(&format!("{MAPS}/a"), &accept("PartialObjectMetadata")).await.expect(200);
    let object = decoded(&object);
    assert_eq!(
        (&object["kind"], &object["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("a"))
    );
    let list = decoded(&get(MAPS, &accept("PartialObjectMetadataList")).await.expect(200));
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"], object["metadata"]);
    assert_eq!(list["items"][0].get("data"), None);

    let refused = get(MAPS, &accept("PartialObjectMetadata")).await.expect(406);
    assert_eq!(
        refused.message(),
        "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"
    );
    get(MAPS, &accept("Table")).await.expect(406);
    let either = format!("{},application/json", accept("Table"));
    assert_eq!(get(MAPS, &either).await.expect(200).at("/kind"), "ConfigMapList");
    let older = "application/json;as=Table;g=meta.k8s.io;v=v1beta1";
    let table = get(MAPS, older).await.expect(200);
    assert_eq!(table.at("/apiVersion"), "meta.k8s.io/v1beta1");
    assert_eq!(table.at("/rows/0/object/apiVersion"), "meta.k8s.io/v1beta1");
}

#[tokio::test]
async fn failures_are_in_protobuf_for_those_who_take_it() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let missing = admin.send(&format!("GET {MAPS}/a"), &[EITHER], "").await.expect(404);
    let status = decoded(&missing);
    assert_eq!((&status["kind"], &status["reason"]), (&json!("Status"), &json!("NotFound")));
    let other = admin.send(&format!("GET {MAPS}/a"), &[("accept", "text/html")], "").await.expect(406);
    assert!(other.text.contains("\n  \"reason\": \"NotAcceptable\""), "indented: {}", other.text);
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

/// The events in a body of length-delimited frames: type and object.
pub(crate) fn events(mut bytes: &[u8]) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*len) as usize);
        bytes = rest;
        events.push(event(frame));
    }
    assert_eq!(bytes, b"", "nothing after the last frame");
    events
}

/// A WatchEvent: its type (1), and in its object (2) an envelope (1).
fn event(frame: &[u8]) -> (String, Value) {
    let (kind, rest) = field(1, frame);
    let (extension, rest) = field(2, rest);
    assert_eq!(rest, b"");
    let (object, rest) = field(1, extension);
    assert_eq!(rest, b"");
    let (_, tree) = protobuf::decode(object, &GroupVersionKind::default()).unwrap();
    (String::from_utf8(kind.to_vec()).unwrap(), tree.into_value())
}

/// A field of bytes at the beginning, and what follows it.
fn field(number: u8, bytes: &[u8]) -> (&[u8], &[u8]) {
    assert_eq!(bytes[0], number << 3 | 2);
    let digits = 1 + bytes[1..].iter().take_while(|byte| **byte >= 0x80).count();
    let len = bytes[1..=digits].iter().rev().fold(0, |len, byte| len << 7 | usize::from(byte & 0x7f));
    bytes[1 + digits..].split_at(len)
}

#[tokio::test]
async fn watches_are_frames_of_protobuf() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let labelled = |name: &str, color: &str| json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": {"color": color}}});
    let first = admin.post(MAPS, labelled("a", "red")).await.expect(201).json();
    let added = admin.post(MAPS, labelled("b", "red")).await.expect(201).json();
    let changed = admin.put(&format!("{MAPS}/b"), labelled("b", "blue")).await.expect(200).json();
    admin.delete(&format!("{MAPS}/a")).await.expect(200);
    let from = first["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = async |query: &str, accept: &str| {
        let line = format!("GET {MAPS}?watch=1&timeoutSeconds=1&{query}");
        let answer = admin.send(&line, &[("accept", accept)], "").await.expect(200);
        assert_eq!(answer.headers[CONTENT_TYPE], "application/vnd.kubernetes.protobuf;stream=watch");
        events(&answer.bytes)
    };
    let protobuf_stream = "application/vnd.kubernetes.protobuf;stream=watch";
    let past = format!("resourceVersion={from}");
    // Twice, for what one watch has made another one is given.
    for _ in 0..2 {
        let events = watch(&past, protobuf_stream).await;
        assert_eq!(events[0], ("ADDED".to_owned(), added.clone()));
        assert_eq!(events[1], ("MODIFIED".to_owned(), changed.clone()));
        assert_eq!((&*events[2].0, &events[2].1["metadata"]["name"]), ("DELETED", &json!("a")));
        assert_eq!(events.len(), 3);
    }
    let left = watch(&format!("{past}&labelSelector=color%3Dred"), EITHER.1).await;
    assert_eq!((&*left[1].0, &left[1].1["metadata"]["labels"]["color"]), ("DELETED", &json!("red")));
    assert_eq!(left[1].1["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);

    let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let events = watch(initial, metadata).await;
    assert_eq!((&*events[0].0, &events[0].1["metadata"]), ("ADDED", &changed["metadata"]));
    assert_eq!(events[1].0, "BOOKMARK");
    assert_eq!(events[1].1["kind"], "PartialObjectMetadata");
    assert_eq!(events[1].1["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");

    admin.send(&format!("GET {MAPS}?watch=1"), &[("accept", "application/yaml")], "").await.expect(406);
}
