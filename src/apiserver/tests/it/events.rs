//! Events are one thing under two groups.

use std::time::Duration;

use serde_json::{Value, json};
use store::Store;

use crate::cluster::Cluster;
use crate::watches::Watch;

const CORE: &str = "/api/v1/namespaces/default/events";
const NEW: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

#[tokio::test]
async fn what_is_written_through_one_group_is_read_through_the_other() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let old = json!({"kind": "Event", "apiVersion": "v1", "metadata": {"name": "old"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "Pulled", "message": "m",
        "type": "Normal", "source": {"component": "kubelet", "host": "n"}, "count": 2,
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:01:00Z"});
    admin.post(CORE, old).await.expect(201);
    let read = admin.get(&format!("{NEW}/old")).await.expect(200);
    assert_eq!(read.at("/apiVersion"), "events.k8s.io/v1");
    assert_eq!((read.at("/regarding/name"), read.at("/note")), (json!("p"), json!("m")));
    assert_eq!(
        (read.at("/deprecatedSource/component"), read.at("/deprecatedCount")),
        (json!("kubelet"), json!(2))
    );

    let new = json!({"kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "new"},
        "regarding": {"kind": "Pod", "namespace": "default", "name": "q"}, "reason": "Scheduled", "note": "n",
        "type": "Normal", "action": "Binding", "reportingController": "default-scheduler",
        "reportingInstance": "s-1", "eventTime": "2026-01-01T00:00:00.000000Z"});
    admin.post(NEW, new).await.expect(201);
    let read = admin.get(&format!("{CORE}/new")).await.expect(200);
    assert_eq!((read.at("/apiVersion"), read.at("/message")), (json!("v1"), json!("n")));
    assert_eq!(read.at("/involvedObject/name"), "q");
    assert_eq!(read.at("/reportingComponent"), "default-scheduler");

    for (path, field) in [(CORE, "involvedObject.name"), (NEW, "regarding.name")] {
        let list = admin.get(&format!("{path}?fieldSelector={field}%3Dq")).await.expect(200);
        assert_eq!(list.at("/items/0/metadata/name"), "new", "{path}");
        assert_eq!(list.at("/items/1"), json!(null), "{path}");
    }
    admin.delete(&format!("{NEW}/old")).await.expect(200);
    admin.get(&format!("{CORE}/old")).await.expect(404);
}

fn event(name: &str) -> Value {
    json!({"kind": "Event", "apiVersion": "v1", "metadata": {"name": name}, "reason": "Pulled", "message": "m",
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "type": "Normal"})
}

async fn memory() -> Store {
    Store::open(store::memory::new(), apiserver::store_options()).await.unwrap()
}

#[tokio::test]
async fn events_expire_and_watchers_see_them_deleted() {
    let cluster = Cluster::keeping_events(memory().await, Duration::from_millis(50)).await;
    let admin = cluster.admin();
    let mut watches = [Watch::of(&admin, CORE, "").await, Watch::of(&admin, NEW, "").await];
    let created = admin.post(CORE, event("e")).await.expect(201);
    for watch in &mut watches {
        watch.expect("ADDED e").await;
        let deleted = watch.expect("DELETED e").await;
        assert_eq!(deleted["reason"], "Pulled");
        assert_ne!(deleted["metadata"]["resourceVersion"], created.at("/metadata/resourceVersion"));
    }
    admin.get(&format!("{CORE}/e")).await.expect(404);
}

#[tokio::test]
async fn what_a_server_finds_at_its_start_expires_too_and_nothing_but_events_does() {
    let store = memory().await;
    let first = Cluster::over(store.clone()).await;
    for number in 0..200 {
        first.admin().post(CORE, event(&format!("e{number}"))).await.expect(201);
    }
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "m"}});
    first.admin().post(maps, map).await.expect(201);
    let list = first.admin().get(CORE).await.expect(200);
    assert_eq!(list.at("/items").as_array().unwrap().len(), 200);
    let version = list.at("/metadata/resourceVersion");
    let from = format!("resourceVersion={}", version.as_str().unwrap());
    let mut watch = Watch::of(&first.admin(), CORE, &from).await;
    let second = Cluster::keeping_events(store, Duration::from_millis(1)).await;
    for _ in 0..200 {
        assert_eq!(watch.next().await.unwrap()["type"], "DELETED");
    }
    let list = second.admin().get(CORE).await.expect(200);
    assert_eq!(list.at("/items"), json!([]));
    second.admin().get(&format!("{maps}/m")).await.expect(200);
}
