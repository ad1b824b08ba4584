//! What cannot be proxied to is refused as upstream does. That requests arrive is shown end to end: a target is never
//! the API server's own machine, so no test in one process can play it.

use serde_json::json;

use crate::cluster::{Client, Cluster};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";

async fn refused(admin: &Client, path: &str, code: u16, message: &str) {
    let answer = admin.get(path).await;
    assert_eq!((answer.code, answer.message().as_str()), (code, message), "{path}");
}

#[tokio::test]
async fn a_target_that_is_not_there_or_not_allowed_is_refused() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    admin.post(PODS, pod).await.expect(201);
    let service = json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s"},
        "spec": {"ports": [{"name": "http", "port": 80}]}});
    admin.post(SERVICES, service).await.expect(201);

    refused(&admin, &format!("{PODS}/q/proxy/"), 404, "pods \"q\" not found").await;
    refused(&admin, &format!("{PODS}/ftp:p:/proxy/"), 400, "invalid pod request \"ftp:p:\"").await;
    refused(&admin, &format!("{PODS}/p/proxy/"), 400, "address not allowed").await;
    let own = json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    admin.patch(&format!("{PODS}/p/status"), "merge-patch", own).await.expect(200);
    refused(&admin, &format!("{PODS}/p:6443/proxy/"), 400, "address not allowed").await;

    let none = |name: &str| format!("no endpoints available for service \"{name}\"");
    refused(&admin, &format!("{SERVICES}/s:http/proxy/"), 503, &none("s:http")).await;
    refused(&admin, &format!("{SERVICES}/s:80/proxy/a/b"), 503, &none("s:80")).await;
    let unknown = "no service port 81 found for service \"s\"";
    refused(&admin, &format!("{SERVICES}/s:81/proxy/"), 503, unknown).await;
    refused(&admin, &format!("{SERVICES}/t/proxy/"), 404, "services \"t\" not found").await;
}
