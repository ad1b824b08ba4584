//! Tables and metadata.

use serde_json::json;

use crate::cluster::{Cluster, MAPS, config_map};

#[tokio::test]
async fn lists_and_objects_are_shown_as_tables() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    for path in [MAPS.to_owned(), format!("{MAPS}/a")] {
        let table = admin.send(&format!("GET {path}"), &accept, "").await.expect(200);
        assert_eq!(table.at("/kind"), "Table");
        assert_eq!(table.at("/columnDefinitions/0/name"), "Name");
        assert_eq!(table.at("/rows/0/cells/0"), "a");
        assert_eq!(table.at("/rows/0/object/kind"), "PartialObjectMetadata");
        assert_eq!(table.at("/rows/0/object/metadata/name"), "a");
        assert!(table.at("/metadata/resourceVersion").is_string());
    }
    let none = admin.send(&format!("GET {MAPS}?includeObject=None"), &accept, "").await.expect(200);
    assert_eq!(none.at("/rows/0/object"), json!(null));
    admin.send(&format!("GET {MAPS}?includeObject=x"), &accept, "").await.expect(400);
}

#[tokio::test]
async fn metadata_alone_is_served() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let accept = [("accept", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")];
    let list = admin.send(&format!("GET {MAPS}"), &accept, "").await.expect(200);
    assert_eq!(list.at("/kind"), "PartialObjectMetadataList");
    assert_eq!(list.at("/items/0/metadata/name"), "a");
    assert_eq!(list.at("/items/0/data"), json!(null));
}

#[tokio::test]
async fn people_get_indented_json() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let pretty = admin.get("/api/v1/namespaces/default?pretty=1").await.expect(200);
    assert!(pretty.text.starts_with("{\n  \"kind\": \"Namespace\",\n"), "{}", pretty.text);
    let curl =
        admin.send("GET /api/v1/namespaces/default", &[("user-agent", "curl/8")], "").await.expect(200);
    assert_eq!(curl.text, pretty.text);
}
