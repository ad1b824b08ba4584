//! Odd and hostile requests: each is answered with a status, none with a 500.

mod bodies;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::cluster::{Client, Cluster, MAPS, config_map};

/// Sends a request; whatever fails must say so with a status, and be the client's fault.
async fn check(client: &Client, line: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let response = client.open(line, headers, body.to_vec()).await;
    let code = response.status().as_u16();
    let shown: String = line.chars().take(120).collect();
    if code < 400 {
        // It may be a watch: its beginning is enough.
        return code;
    }
    let text = response.into_body().collect().await.unwrap().to_bytes();
    // Upstream says nothing at all where the OpenAPI document of a group is missing.
    if code == 404 && (text == "404 page not found\n" || text.is_empty()) {
        return code;
    }
    let status: Value =
        serde_json::from_slice(&text).unwrap_or_else(|_| panic!("{shown}: no JSON: {text:?}"));
    // Some faults of the client's are 500 without a reason upstream; an InternalError would be ours.
    let is_clients = code < 500 || code == 504 || (code == 500 && status.get("reason").is_none());
    assert!(is_clients, "{shown} {headers:?}: {code} {}", String::from_utf8_lossy(&text));
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(code)), "{shown}");
    code
}

#[tokio::test]
async fn odd_paths_are_answered() {
    let cluster = Cluster::start().await;
    let (admin, nobody) = (cluster.admin(), cluster.user("system:anonymous", &[]));
    let long = format!("{MAPS}/{}", "x".repeat(10_000));
    let paths = [
        "/",
        "//",
        "///",
        "/api",
        "/api//",
        "//api",
        "/api//v1",
        "/api/v1//pods",
        "//api/v1/pods",
        "/apis//v1/pods",
        "/apis/apps//deployments",
        "/apis/apps/v1//",
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces//pods/p",
        "/api/v1/namespaces//pods/p/exec",
        "/api/v1/namespaces/default//p/log",
        "/api/v1/namespaces/../pods",
        "/api/v1/namespaces/default/pods/..",
        "/api/v1/namespaces/default/configmaps/%2e%2e%2fsecrets",
        "/api/v1/namespaces/default%2Fconfigmaps",
        "/api/v1/namespaces/default/configmaps/a%00b",
        "/api/v1/namespaces/default/configmaps/%ff%fe",
        "/api/v1/namespaces/default/configmaps/%25",
        "/api/v1/namespaces/default/configmaps/%",
        "/api/v1/namespaces/%00/configmaps",
        "/api/v1/watch/watch/pods",
        "/api/v1/watch/namespaces/default/pods/p/exec",
        "/api/v1/namespaces/default/pods/p/exec/x",
        "/api/v1/namespaces/default/pods/p/log/x/y",
        "/api/v1/namespaces/default/pods//exec",
        "/api/v1/namespaces/finalize",
        "/api/v1/namespaces/x/finalize/y",
        "/api/v1/nodes/n/status/x",
        "/api/v1/namespaces/default/nodes/n",
        "/api/v1/componentstatuses/x",
        "/readyz//ping",
        "/readyz/nothing",
        "/livez/..",
        "/openapi/v3/../v2",
        "/openapi/v3//",
        "/version/x",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/\\",
        "/api/v1/namespaces/default/configmaps/a;b",
        "/.well-known/..",
        long.as_str(),
    ];
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if method == "HEAD" {
                assert!(admin.open(&format!("HEAD {path}"), &[], "").await.status().as_u16() < 500, "{path}");
                continue;
            }
            let headers = [("content-type", "application/json")];
            check(&admin, &format!("{method} {path}"), &headers, b"{}").await;
            check(&nobody, &format!("{method} {path}"), &headers, b"{}").await;
        }
    }
}

/// Upstream, too, takes it for a fault of its own, in words.
#[tokio::test]
async fn a_watch_of_nothing_cannot_be_made_out() {
    let cluster = Cluster::start().await;
    for path in ["/api/v1/watch", "/api/v1/watch/"] {
        let answer = cluster.admin().send(&format!("GET {path}"), &[], "").await.expect(500);
        let said = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(
            said.ends_with(&format!("unable to determine kind and namespace from url, {path}\n")),
            "{said}"
        );
    }
}

#[tokio::test]
async fn odd_queries_are_answered() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let token = |text: &str| format!("continue={}", URL_SAFE_NO_PAD.encode(text));
    let max = u64::MAX;
    let mut queries: Vec<String> = [
        "limit=-1",
        "limit=9223372036854775807",
        "limit=99999999999999999999",
        "limit=x",
        "continue=%00",
        "continue=====",
        "resourceVersion=x",
        "resourceVersion=-1",
        "resourceVersion=18446744073709551616",
        "resourceVersion=0x1",
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=%ff&resourceVersion=1",
        "timeout=1e309h",
        "timeout=..s",
        "timeout=%00",
        "timeout=-1s",
        "timeout=999999999999999999h",
        "pretty=%ff",
        "labelSelector=((((",
        "labelSelector=a+in+(",
        "labelSelector=a+notin+()",
        "labelSelector=!",
        "labelSelector==,=",
        "labelSelector=%ff",
        "labelSelector=a+in+(b))",
        "labelSelector=%21%21a",
        "labelSelector=a%3E99999999999999999999",
        "fieldSelector=metadata.name==",
        "fieldSelector=a=b=c",
        "fieldSelector=metadata.name%3D%5C",
        "fieldSelector=metadata.name%3D..%2Fx",
        "fieldSelector=metadata.name%3D%00",
        "fieldSelector=,,,",
        "fieldSelector=metadata.namespace%21%3Ddefault",
        "sendInitialEvents=x",
        "watch=1&timeoutSeconds=9223372036854775807",
        "watch=1&timeoutSeconds=-1",
        "watch=1&timeoutSeconds=x",
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "watch=1&resourceVersion=x",
        "&&&===&",
        "%=%&%%%",
        "dryRun=x",
        "fieldValidation=x",
        "propagationPolicy=x",
        "gracePeriodSeconds=-9223372036854775808&dryRun=All",
        "gracePeriodSeconds=9223372036854775807&dryRun=All",
        "gracePeriodSeconds=x",
        "orphanDependents=true&propagationPolicy=Orphan",
        "includeObject=x",
    ]
    .map(str::to_owned)
    .into();
    queries.push(format!("labelSelector={}", "a,".repeat(15_000)));
    queries.push(format!("fieldSelector={}", "metadata.name%3Da,".repeat(2_000)));
    queries.push(token(&format!(r#"{{"v":"meta.k8s.io/v1","rv":{},"start":"a\u0000"}}"#, i64::MAX)));
    queries.push(token(r#"{"v":"meta.k8s.io/v1","rv":-5,"start":"a\u0000"}"#));
    queries.push(token(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"\u0000\u0000"}"#));
    queries.push(token(r#"{"v":"meta.k8s.io/v1","rv":-1,"start":"../../secrets/"}"#));
    queries.push(token(r#"{"v":"meta.k8s.io/v1","rv":-1,"start":"kube-system/x\u0000"}"#));
    queries.push(token(r#"{"v":"x","rv":1,"start":"a"}"#));
    queries.push(token(&"[".repeat(10_000)));
    for query in &queries {
        for path in [MAPS, "/api/v1/configmaps"] {
            check(&admin, &format!("GET {path}?{query}"), &[], b"").await;
            check(&admin, &format!("DELETE {path}?{query}&dryRun=All"), &[], b"").await;
        }
        check(
            &admin,
            &format!("POST {MAPS}?{query}&dryRun=All"),
            &[],
            config_map("b", "1").to_string().as_bytes(),
        )
        .await;
        check(&admin, &format!("DELETE {MAPS}/missing?{query}"), &[], b"").await;
    }
    assert_eq!(check(&admin, &format!("GET {MAPS}?resourceVersion={max}"), &[], b"").await, 504);
}

#[tokio::test]
async fn odd_headers_are_answered() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let accepts = [
        "",
        ";;;",
        ",",
        "application/json;as=Table",
        "application/json;as=Table;v=v9;g=meta.k8s.io",
        "*/*;q=abc",
        "application/json;q=0",
        "a/b/c",
        "application/json;as=",
        "application/json;as=PartialObjectMetadata;g=x;v=v1",
    ];
    for accept in accepts {
        for path in [MAPS, "/api", "/apis", "/openapi/v2", "/openapi/v3", "/version", "/readyz"] {
            check(&admin, &format!("GET {path}"), &[("accept", accept)], b"").await;
        }
    }
    for content_type in
        ["", ";", "application/json;charset=x", "text/plain", "application/json, application/yaml"]
    {
        check(&admin, &format!("POST {MAPS}"), &[("content-type", content_type)], b"{}").await;
        check(&admin, &format!("PATCH {MAPS}/a"), &[("content-type", content_type)], b"{}").await;
    }
    let alice = cluster.user("alice", &[]);
    for (name, value) in [
        ("impersonate-user", "system:admin"),
        ("impersonate-user", "system:serviceaccount:kube-system:x"),
        ("impersonate-user", "system:serviceaccount::"),
        ("impersonate-user", "system:anonymous"),
        ("Impersonate-User", "admin"),
    ] {
        let more = [(name, value), ("impersonate-group", "system:masters"), ("impersonate-extra-%zz", "x")];
        assert_eq!(check(&alice, &format!("GET {MAPS}"), &more, b"").await, 403, "{value}");
    }
    for header in [
        "x-remote-user",
        "x-remote-group",
        "x-forwarded-user",
        "authorization",
        "x-original-url",
        "x-http-method-override",
    ] {
        let value = if header == "authorization" { "Bearer x" } else { "system:masters" };
        assert_eq!(check(&alice, &format!("GET {MAPS}"), &[(header, value)], b"").await, 403, "{header}");
    }
}
