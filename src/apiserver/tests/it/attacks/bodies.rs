//! Bodies that are too deep, too large once unfolded, or nothing at all.

use serde_json::{Value, json};

use super::check;
use crate::cluster::{Cluster, MAPS, config_map};

#[tokio::test]
async fn hostile_bodies_are_answered() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let aliases: String = (0..30)
        .map(|level| {
            let before = if level == 0 { "x".to_owned() } else { format!("*a{}", level - 1) };
            format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(","))
        })
        .collect();
    let deep = |open: &str| open.repeat(200_000);
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("application/json", deep("[").into()),
        ("application/json", deep("{\"a\":").into()),
        ("application/json", format!("{{\"metadata\":{}", deep("{\"a\":")).into()),
        ("application/json", br#"{"metadata":{"name":null},"data":{"a":1e999}}"#.to_vec()),
        ("application/json", br#"{"metadata":{"name":"\ud800"}}"#.to_vec()),
        ("application/json", b"{\"metadata\":{\"name\":\"\xff\"}}".to_vec()),
        ("application/json", br#"{"kind":{},"apiVersion":[]}"#.to_vec()),
        (
            "application/json",
            br#"{"kind":"ConfigMap","apiVersion":"a/b/c","metadata":{"name":"x"}}"#.to_vec(),
        ),
        (
            "application/json",
            br#"{"metadata":{"name":"x","creationTimestamp":"9999999-01-01T00:00:00Z"}}"#.to_vec(),
        ),
        (
            "application/json",
            br#"{"metadata":{"name":"x","generateName":"y","managedFields":[{"fieldsV1":{"f:":1}}]}}"#
                .to_vec(),
        ),
        ("application/yaml", deep("[").into()),
        ("application/yaml", deep("- ").into()),
        ("application/yaml", aliases.into()),
        ("application/yaml", b"a: *b".to_vec()),
        ("application/yaml", b"\xff\xfe\x00".to_vec()),
        ("application/vnd.kubernetes.protobuf", b"k8s\0".to_vec()),
        ("application/vnd.kubernetes.protobuf", [b"k8s\0".as_slice(), &[0xff; 64]].concat()),
        (
            "application/vnd.kubernetes.protobuf",
            [b"k8s\0".as_slice(), &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(),
        ),
    ];
    for (media, body) in &bodies {
        let headers = [("content-type", *media)];
        for path in [MAPS, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] {
            check(&admin, &format!("POST {path}"), &headers, body).await;
        }
        check(&admin, &format!("PUT {MAPS}/a"), &headers, body).await;
        check(&admin, &format!("DELETE {MAPS}/missing"), &headers, body).await;
        check(&admin, &format!("POST {MAPS}/a/nothing"), &headers, body).await;
    }
    let copies: Vec<Value> =
        (0..40).map(|_| json!({"op": "copy", "from": "/data", "path": "/data/x"})).collect();
    let mut patches: Vec<(&str, String)> = vec![
        ("json-patch", Value::Array(copies).to_string()),
        ("json-patch", json!([{"op": "add", "path": "/metadata/-", "value": 1}]).to_string()),
        ("json-patch", json!([{"op": "move", "from": "", "path": "/a/b"}]).to_string()),
        ("json-patch", json!([{"op": "remove", "path": ""}]).to_string()),
        ("json-patch", json!([{"op": "add", "path": "/data/99999999999999999999", "value": {}}]).to_string()),
        ("json-patch", deep("[")),
        ("merge-patch", deep("{\"a\":")),
        ("merge-patch", "[]".to_owned()),
        ("merge-patch", "null".to_owned()),
        ("strategic-merge-patch", json!({"$patch": "delete"}).to_string()),
        ("strategic-merge-patch", json!({"$patch": []}).to_string()),
        ("strategic-merge-patch", json!({"metadata": {"$setElementOrder/finalizers": 1}}).to_string()),
        (
            "strategic-merge-patch",
            json!({"metadata": {"$retainKeys": {}, "$deleteFromPrimitiveList/finalizers": {}}}).to_string(),
        ),
        ("apply-patch", "{}".to_owned()),
    ];
    // Each adds a hundred levels where the last one ended.
    let (levels, mut path) = (100, "/x".to_owned());
    let nested = format!("{}{{}}{}", "{\"x\":".repeat(levels), "}".repeat(levels));
    let mut operations = Vec::new();
    for _ in 0..140 {
        operations.push(format!("{{\"op\":\"add\",\"path\":{path:?},\"value\":{nested}}}"));
        path.push_str(&"/x".repeat(levels + 1));
    }
    patches.push(("json-patch", format!("[{}]", operations.join(","))));
    let upwards = (0..9_000).map(|_| json!({"op": "copy", "from": "/data", "path": "/data/x"}));
    patches.push(("json-patch", Value::Array(upwards.collect()).to_string()));
    for (kind, body) in patches {
        let media = format!("application/{kind}+json");
        check(&admin, &format!("PATCH {MAPS}/a?dryRun=All"), &[("content-type", &media)], body.as_bytes())
            .await;
    }
}

/// The bodies whose cost must not grow faster than they do: they are answered like any other.
#[tokio::test]
async fn expensive_bodies_are_answered_like_others() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let data: serde_json::Map<String, Value> =
        (0..20_000).map(|number| (format!("k{number}"), json!("v"))).collect();
    let large = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": data});
    admin.post(MAPS, large).await.expect(201);
    let patch = async |kind: &str, body: String, code: u16| {
        let media = format!("application/{kind}+json");
        let line = format!("PATCH {MAPS}/a");
        admin.send(&line, &[("content-type", &media)], body).await.expect(code)
    };
    let to_and_fro = r#"{"op":"move","from":"/data","path":"/metadata/labels/x"},{"op":"move","from":"/metadata/labels/x","path":"/data"}"#;
    let moves = format!(
        r#"[{{"op":"add","path":"/metadata/labels","value":{{}}}},{}]"#,
        vec![to_and_fro; 4_999].join(",")
    );
    patch("json-patch", moves, 200).await;
    let too_many = patch("json-patch", format!("[{}]", vec![to_and_fro; 5_001].join(",")), 413).await;
    assert!(
        too_many.message().ends_with("The allowed maximum operations in a JSON patch is 10000, got 10002"),
        "{}",
        too_many.message()
    );
    let copies = vec![r#"{"op":"copy","from":"/data","path":"/metadata/x"}"#; 100].join(",");
    patch("json-patch", format!("[{copies}]"), 422).await;
    let front = vec![r#"{"op":"add","path":"/metadata/finalizers/0","value":"a"}"#; 9_000].join(",");
    let list = vec!["\"a\""; 100_000].join(",");
    let shifts = format!(r#"[{{"op":"add","path":"/metadata/finalizers","value":[{list}]}},{front}]"#);
    patch("json-patch", shifts, 413).await;
    let changed: serde_json::Map<String, Value> =
        (0..20_000).map(|number| (format!("k{number}"), json!("w"))).collect();
    for kind in ["merge-patch", "strategic-merge-patch"] {
        assert_eq!(patch(kind, json!({"data": changed}).to_string(), 200).await.at("/data/k19999"), "w");
    }
    let mut patches = Vec::new();
    let names = |count: usize| (0..count).map(|number| format!("example.com/{number}")).collect::<Vec<_>>();
    let long =
        json!({"metadata": {"finalizers": names(50_000), "$setElementOrder/finalizers": names(50_000)}});
    patches.push(("strategic-merge-patch", long.to_string()));
    let gone = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": names(50_000)}});
    patches.push(("strategic-merge-patch", gone.to_string()));
    let owners: Vec<Value> = names(20_000).iter().map(|name| json!({"uid": name, "name": name})).collect();
    patches.push(("strategic-merge-patch", json!({"metadata": {"ownerReferences": owners}}).to_string()));
    let labels: String = names(30_000).iter().map(|name| format!("{name:?}:\"x\",{name:?}:\"y\",")).collect();
    patches.push(("merge-patch", format!("{{\"data\":{{{labels}\"a\":\"b\"}}}}")));
    let to_and_fro = r#"{"op":"move","from":"/data","path":"/metadata/x"},{"op":"move","from":"/metadata/x","path":"/data"}"#;
    patches.push(("json-patch", format!("[{}]", vec![to_and_fro; 5_000].join(","))));
    for (kind, body) in patches {
        let media = format!("application/{kind}+json");
        let line = format!("PATCH {MAPS}/a?dryRun=All");
        let code = check(&admin, &line, &[("content-type", &media)], body.as_bytes()).await;
        assert!([200, 422].contains(&code), "{kind}: {code}");
    }
    let again = format!(r#"{{"{}":{{{}"a":1}}}}"#, "k".repeat(500_000), r#""a":1,"#.repeat(200_000));
    admin.send(&format!("POST {MAPS}"), &[], again).await.expect(422);
}
