//! Create, get, update: one object's life.

use serde_json::json;

use crate::cluster::{Cluster, MAPS, config_map};

#[tokio::test]
async fn an_object_is_created_read_and_replaced() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let created = admin.post(MAPS, config_map("a", "1")).await.expect(201);
    assert_eq!(created.at("/metadata/namespace"), "default");
    assert!(created.at("/metadata/uid").as_str().unwrap().len() == 36);
    let read = admin.get(&format!("{MAPS}/a")).await.expect(200);
    assert_eq!(read.text, created.text);

    let mut changed = read.json();
    changed["data"]["key"] = json!("2");
    let replaced = admin.put(&format!("{MAPS}/a"), changed.clone()).await.expect(200);
    assert_eq!(replaced.at("/data/key"), "2");
    assert_ne!(replaced.at("/metadata/resourceVersion"), read.at("/metadata/resourceVersion"));
    assert_eq!(replaced.at("/metadata/uid"), read.at("/metadata/uid"));

    let stale = admin.put(&format!("{MAPS}/a"), changed.clone()).await.expect(409);
    assert_eq!(
        stale.message(),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
    changed["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let same = admin.put(&format!("{MAPS}/a"), changed).await.expect(200);
    assert_eq!(same.text, replaced.text, "an update that changes nothing is no write");
}

#[tokio::test]
async fn names_are_generated() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let body = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"generateName": "x-"}});
    let name = admin.post(MAPS, body).await.expect(201).at("/metadata/name");
    let name = name.as_str().unwrap();
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let dry = admin.post(&format!("{MAPS}?dryRun=All"), config_map("a", "1")).await.expect(201);
    assert_eq!(dry.at("/metadata/resourceVersion"), json!(null));
    admin.get(&format!("{MAPS}/a")).await.expect(404);
    admin.post(MAPS, config_map("a", "1")).await.expect(201);
    let dry = admin.put(&format!("{MAPS}/a?dryRun=All"), config_map("a", "2")).await.expect(200);
    assert_eq!(dry.at("/data/key"), "2");
    assert_eq!(admin.get(&format!("{MAPS}/a")).await.at("/data/key"), "1");
    admin.delete(&format!("{MAPS}/a?dryRun=All")).await.expect(200);
    admin.get(&format!("{MAPS}/a")).await.expect(200);
}

#[tokio::test]
async fn yaml_goes_in_and_out() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let yaml = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\ndata:\n  key: 'yes'\n";
    let headers = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let created = admin.send(&format!("POST {MAPS}"), &headers, yaml).await.expect(201);
    assert!(created.text.contains("kind: ConfigMap\n"), "{}", created.text);
    assert_eq!(admin.get(&format!("{MAPS}/a")).await.at("/data/key"), "yes");
}

#[tokio::test]
async fn the_service_of_the_api_itself_is_there_and_others_get_addresses() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let services = "/api/v1/namespaces/default/services";
    assert_eq!(
        admin.get(&format!("{services}/kubernetes")).await.expect(200).at("/spec/clusterIP"),
        "10.96.0.1"
    );
    let service = |name: &str, extra: serde_json::Value| {
        let mut spec = json!({"ports": [{"port": 80}], "selector": {"a": "b"}});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec})
    };
    let plain = admin.post(services, service("a", json!({}))).await.expect(201);
    assert!(plain.at("/spec/clusterIP").as_str().unwrap().starts_with("10."), "{}", plain.text);
    let taken = service("b", json!({"clusterIP": "10.96.0.1"}));
    let refused = admin.post(services, taken).await.expect(422);
    assert!(refused.message().contains("provided IP is already allocated"), "{}", refused.message());
    for unusable in ["10.96.0.0", "10.111.255.255"] {
        let refused = admin.post(services, service("b", json!({"clusterIP": unusable}))).await.expect(422);
        assert!(refused.message().contains("is not in the valid range"), "{}", refused.message());
    }
    let dry_run = format!("{services}?dryRun=All");
    let shown = admin.post(&dry_run, service("b", json!({}))).await.expect(201);
    assert_eq!(shown.at("/spec/clusterIP"), "10.96.0.0", "a dry run draws none");
    admin.post(&dry_run, service("b", json!({"clusterIP": "10.96.0.1"}))).await.expect(201);
    let ports = admin.post(services, service("c", json!({"type": "NodePort"}))).await.expect(201);
    let port = ports.at("/spec/ports/0/nodePort").as_i64().unwrap();
    assert!((30000..=32767).contains(&port));
    let again = service("d", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}));
    let refused = admin.post(services, again.clone()).await.expect(422);
    assert!(refused.message().contains("provided port is already allocated"), "{}", refused.message());
    let udp = json!({"type": "NodePort", "ports": [{"port": 80, "protocol": "UDP", "nodePort": port}]});
    let refused = admin.post(services, service("d", udp)).await.expect(422);
    assert!(refused.message().contains("provided port is already allocated"), "{}", refused.message());
    admin.delete(&format!("{services}/c")).await.expect(200);
    admin.post(services, again).await.expect(201);
}
