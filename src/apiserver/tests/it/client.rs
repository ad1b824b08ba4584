//! The client library that the components use, over the service in process.

use apiserver::User;
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event};
use serde_json::json;

use crate::cluster::Cluster;

fn map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

/// Runs the reflector up to an event.
async fn until(
    stream: &mut (impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin),
    wanted: impl Fn(&Event<ConfigMap>) -> bool,
) {
    while let Some(event) = stream.next().await {
        if wanted(&event.unwrap()) {
            return;
        }
    }
    panic!("the watch ended");
}

async fn reflect(config: watcher::Config) {
    let cluster = Cluster::start().await;
    let service = cluster.server.in_process(User::new("admin", &["system:masters"]));
    let maps: Api<ConfigMap> = Api::default_namespaced(kube::Client::new(service, "default"));
    maps.create(&PostParams::default(), &map("a")).await.unwrap();
    let (reader, writer) = reflector::store();
    let mut stream = Box::pin(reflector::reflector(writer, watcher::watcher(maps.clone(), config)));
    until(&mut stream, |event| matches!(event, Event::InitDone)).await;
    let names: Vec<_> = reader.state().iter().filter_map(|map| map.metadata.name.clone()).collect();
    assert_eq!(names, ["a"]);

    let patch = Patch::Merge(json!({"data": {"key": "1"}}));
    maps.patch("a", &PatchParams::default(), &patch).await.unwrap();
    until(&mut stream, |event| matches!(event, Event::Apply(_))).await;
    let seen = reader.get(&ObjectRef::new("a").within("default")).unwrap();
    assert_eq!(seen.data.as_ref().unwrap()["key"], "1");
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    until(&mut stream, |event| matches!(event, Event::Delete(_))).await;
    assert!(reader.is_empty());
    match maps.get("a").await {
        Err(kube::Error::Api(status)) => assert_eq!((status.code, status.reason.as_str()), (404, "NotFound")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reflector_follows_by_list_and_watch() {
    reflect(watcher::Config::default()).await;
}

#[tokio::test]
async fn a_reflector_follows_by_a_streamed_list() {
    reflect(watcher::Config::default().streaming_lists()).await;
}
