//! What the recorder writes.

use coxswain_client::{EventType, Recorder, reference};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use crate::server::Server;

#[tokio::test]
async fn an_event_is_created_and_its_repetition_counted_up() {
    let server = Server::default();
    let recorder = Recorder::new(server.client(), "deployment-controller", "host");
    let meta = json!({"name": "web", "namespace": "ns", "uid": "u"});
    let about: ConfigMap = serde_json::from_value(json!({"metadata": meta})).unwrap();
    for _ in 0..2 {
        recorder.event(&reference(&about), EventType::Normal, "Scaled", "Scaled up");
    }
    while server.requests().len() < 2 {
        tokio::task::yield_now().await;
    }
    let requests = server.requests();
    let (created, body) = requests[0].split_once("? ").unwrap();
    assert_eq!(created, "POST /api/v1/namespaces/ns/events");
    let event: Value = serde_json::from_str(body).unwrap();
    let name = event["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("web."), "{name}");
    assert_eq!(event["involvedObject"]["kind"], "ConfigMap");
    assert_eq!(
        (&event["reason"], &event["type"], &event["count"]),
        (&json!("Scaled"), &json!("Normal"), &json!(1))
    );
    assert_eq!(event["source"], json!({"component": "deployment-controller", "host": "host"}));
    assert_eq!(event["reportingComponent"], "deployment-controller");

    let (patched, body) = requests[1].split_once("? ").unwrap();
    assert_eq!(patched, format!("PATCH /api/v1/namespaces/ns/events/{name}"));
    let patch: Value = serde_json::from_str(body).unwrap();
    assert_eq!(patch["count"], 2);
}
