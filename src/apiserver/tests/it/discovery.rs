//! What there is, and whether it is well.

use serde_json::{Value, json};

use crate::cluster::Cluster;

#[tokio::test]
async fn groups_and_resources_are_listed() {
    let cluster = Cluster::start().await;
    let nobody = cluster.user("nobody", &[]);
    assert_eq!(nobody.get("/api").await.expect(200).at("/versions"), json!(["v1"]));
    let groups = nobody.get("/apis").await.expect(200).json();
    let names: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"apps") && names.contains(&"rbac.authorization.k8s.io"), "{names:?}");
    assert_eq!(nobody.get("/apis/apps").await.expect(200).at("/preferredVersion/version"), "v1");
    let core = nobody.get("/api/v1").await.expect(200).json();
    let find = |name: &str| -> Value {
        let resources = core["resources"].as_array().unwrap();
        resources.iter().find(|resource| resource["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(find("configmaps")["shortNames"], json!(["cm"]));
    assert_eq!(find("pods/eviction")["group"], "policy");
    assert_eq!(find("pods/log")["verbs"], json!(["get"]));
    assert_eq!(find("namespaces")["namespaced"], false);
}

#[tokio::test]
async fn the_aggregated_form_is_cached_by_its_tag() {
    let cluster = Cluster::start().await;
    let nobody = cluster.user("nobody", &[]);
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let apis = nobody.send("GET /apis", &[("accept", accept)], "").await.expect(200);
    assert_eq!(apis.at("/kind"), "APIGroupDiscoveryList");
    assert_eq!(
        apis.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let tag = apis.headers["etag"].to_str().unwrap().to_owned();
    nobody.send("GET /apis", &[("accept", accept), ("if-none-match", &tag)], "").await.expect(304);
    let core = nobody.send("GET /api", &[("accept", accept)], "").await.expect(200);
    let pods = core.json()["items"][0]["versions"][0]["resources"].as_array().unwrap().clone();
    assert!(pods.iter().any(|resource| resource["resource"] == "configmaps"), "{pods:?}");
}

#[tokio::test]
async fn health_is_told_in_detail() {
    let cluster = Cluster::start().await;
    let nobody = cluster.user("system:anonymous", &[]);
    for path in ["/healthz", "/livez", "/readyz"] {
        assert_eq!(nobody.get(path).await.expect(200).text, "ok", "{path}");
    }
    assert_eq!(cluster.admin().get("/readyz/ping").await.expect(200).text, "ok");
    let verbose = nobody.get("/readyz?verbose&exclude=etcd&exclude=nonsense").await.expect(200).text;
    assert_eq!(
        verbose,
        "[+]ping ok\n[+]etcd excluded: ok\n[+]poststarthook/start-system-namespaces-controller ok\n\
         [+]poststarthook/bootstrap-controller ok\n[+]poststarthook/rbac/bootstrap-roles ok\n[+]shutdown ok\n\
         warn: some health checks cannot be excluded: no matches for \"nonsense\"\nreadyz check passed\n"
    );
    cluster.store.clone().close().await;
    let failed = nobody.get("/livez").await.expect(500).text;
    assert!(failed.contains("[-]etcd failed: reason withheld\n"), "{failed}");
    nobody.get("/livez/ping").await.expect(403);
    cluster.admin().get("/livez/etcd").await.expect(500);
    assert_eq!(nobody.get("/version").await.expect(200).at("/gitVersion"), "v1.36.3");
}
