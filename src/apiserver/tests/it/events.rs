//! Events are one thing under two groups.

use serde_json::json;

use crate::cluster::Cluster;

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
