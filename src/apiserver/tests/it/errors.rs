//! What is wrong is answered with upstream's code and sentence.

use serde_json::json;

use crate::cluster::{Client, Cluster, MAPS};

/// Sends a request and compares code and message.
async fn check(client: &Client, line: &str, headers: &[(&str, &str)], body: &str, code: u16, message: &str) {
    let answer = client.send(line, headers, body.to_owned()).await;
    assert_eq!((answer.code, answer.message().as_str()), (code, message), "{line}");
    assert_eq!(answer.at("/kind"), "Status");
}

#[tokio::test]
async fn requests_that_mean_nothing_are_answered_as_upstream_does() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let missing = "the server could not find the requested resource";
    let nothing = admin.get("/nothing").await;
    assert_eq!((nothing.code, nothing.text.as_str()), (404, "404 page not found\n"));
    check(&admin, "GET /api/v1/nothing", &[], "", 404, missing).await;
    check(&admin, &format!("GET {MAPS}/a"), &[], "", 404, "configmaps \"a\" not found").await;
    check(&admin, "GET /apis/apps/v1/namespaces/default/deployments/a/nothing", &[], "", 404, missing).await;
    let method = "the server does not allow this method on the requested resource";
    check(&admin, "POST /api/v1/configmaps", &[], "{}", 405, method).await;
    check(
        &admin,
        &format!("GET {MAPS}"),
        &[("accept", "text/html")],
        "",
        406,
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
         application/vnd.kubernetes.protobuf, application/json;stream=watch, \
         application/vnd.kubernetes.protobuf;stream=watch",
    )
    .await;
    check(
        &admin,
        &format!("POST {MAPS}"),
        &[("content-type", "application/cbor")],
        "x",
        415,
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml, application/vnd.kubernetes.protobuf",
    )
    .await;
    check(
        &admin,
        "POST /api/v1/namespaces/nowhere/configmaps",
        &[],
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}"#,
        404,
        "namespaces \"nowhere\" not found",
    )
    .await;
    check(
        &admin,
        &format!("GET {MAPS}?timeout=x"),
        &[],
        "",
        400,
        "invalid timeout specified in the request URL - time: invalid duration \"x\"",
    )
    .await;
}

#[tokio::test]
async fn bodies_that_are_no_such_object_are_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let post = format!("POST {MAPS}");
    check(
        &admin,
        &post,
        &[],
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"other"}}"#,
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    )
    .await;
    check(
        &admin,
        &post,
        &[],
        r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a"}}"#,
        400,
        "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): \
         unknown conversion",
    )
    .await;
    check(
        &admin,
        &format!("{post}?fieldValidation=Strict"),
        &[],
        r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"foo":1,"data":{"a":"1","a":"2"}}"#,
        400,
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \
         \"foo\", duplicate field \"data.a\"",
    )
    .await;
    let large = format!(r#"{{"data":{{"a":"{}"}}}}"#, "x".repeat(3 * 1024 * 1024));
    check(&admin, &post, &[], &large, 413, "Request entity too large: limit is 3145728").await;
    for malformed in ["", "{", "[]", "nonsense", "\u{0}"] {
        assert_eq!(admin.send(&post, &[], malformed).await.code, 400, "{malformed:?}");
    }
}

#[tokio::test]
async fn unknown_fields_are_warned_of_unless_told_otherwise() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let body =
        |name: &str| json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "foo": 1});
    let warned = admin.post(MAPS, body("a")).await.expect(201);
    assert_eq!(warned.headers["warning"], "299 - \"unknown field \\\"foo\\\"\"");
    let ignored = admin.post(&format!("{MAPS}?fieldValidation=Ignore"), body("b")).await.expect(201);
    assert!(!ignored.headers.contains_key("warning"));
}
