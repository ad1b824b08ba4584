//! What every cluster has comes back when it is deleted.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{advance, pause, resume, sleep};

use crate::cluster::{Client, Cluster};

const NAMESPACE: &str = "/api/v1/namespaces/kube-node-lease";
const SERVICE: &str = "/api/v1/namespaces/default/services/kubernetes";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
/// Longer than the server lets pass before it looks again.
const ROUND: Duration = Duration::from_secs(30);

/// Lets the server look again until it has written what is amiss.
async fn until_back(admin: &Client, path: &str, pointer: &str, wanted: &Value) {
    let begun = Instant::now();
    while admin.get(path).await.at(pointer) != *wanted {
        assert!(begun.elapsed() < Duration::from_secs(60), "{path} did not come back");
        pause();
        advance(ROUND).await;
        resume();
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_deleted_system_namespace_comes_back() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let mut marked = admin.delete(NAMESPACE).await.expect(200).json();
    marked["spec"] = json!({});
    admin.put(&format!("{NAMESPACE}/finalize"), marked).await.expect(200);
    admin.get(NAMESPACE).await.expect(404);
    until_back(&admin, NAMESPACE, "/status/phase", &json!("Active")).await;
}

#[tokio::test]
async fn the_service_of_the_server_comes_back_with_its_endpoints() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    for (path, pointer) in [(SERVICE, "/spec/ports"), (ENDPOINTS, "/subsets"), (SLICE, "/endpoints")] {
        let wanted = admin.get(path).await.expect(200).at(pointer);
        admin.delete(path).await.expect(200);
        until_back(&admin, path, pointer, &wanted).await;
    }
}

#[tokio::test]
async fn what_is_as_it_should_be_is_not_written_again() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let before = cluster.store.revision();
    let wanted = admin.get(SLICE).await.expect(200).at("/endpoints");
    // The second return of the slice shows that the first look is over.
    for _ in 0..2 {
        admin.delete(SLICE).await.expect(200);
        until_back(&admin, SLICE, "/endpoints", &wanted).await;
    }
    for path in [NAMESPACE, SERVICE, ENDPOINTS] {
        let version = admin.get(path).await.expect(200).at("/metadata/resourceVersion");
        let version: u64 = version.as_str().unwrap().parse().unwrap();
        assert!(version <= before, "{path} was written again");
    }
}
