//! What informers promise, against scripted lists and watches.

use coxswain_client::{Change, Informers, Subscription};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server::Server;

fn map(name: &str, revision: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": name, "namespace": "ns", "resourceVersion": revision.to_string(),
            "managedFields": [{"manager": "kubectl"}],
        },
    })
}

/// The next change as `name@revision`, `name@old>new`, or `-name`.
async fn next(changes: &mut Subscription<ConfigMap>) -> String {
    let change = changes.next().await.unwrap();
    let meta = &change.object().metadata;
    assert_eq!(meta.managed_fields, None);
    let (name, version) = (meta.name.clone().unwrap(), meta.resource_version.clone().unwrap());
    match change {
        Change::Applied { old: None, .. } => format!("{name}@{version}"),
        Change::Applied { old: Some(old), .. } => {
            format!("{name}@{}>{version}", old.metadata.resource_version.clone().unwrap())
        }
        Change::Deleted(_) => format!("-{name}"),
    }
}

fn started() -> (Server, Informers, CancellationToken) {
    let (server, cancel) = (Server::default(), CancellationToken::new());
    let informers = Informers::new(server.client(), cancel.clone());
    (server, informers, cancel)
}

#[tokio::test]
async fn every_subscriber_sees_what_is_there_and_then_every_change() {
    let (server, informers, cancel) = started();
    server.will_list(5, vec![map("a", 1), map("b", 2)]);
    let watch = server.will_watch();
    let maps = informers.of::<ConfigMap>();
    maps.synced().await;
    assert_eq!(maps.len(), 2);
    assert!(maps.get("ns", "a").is_some());
    assert_eq!(maps.in_namespace("other").len(), 0);

    let mut first = maps.subscribe();
    assert_eq!([next(&mut first).await, next(&mut first).await], ["a@1", "b@2"]);
    watch.send("MODIFIED", map("a", 6));
    assert_eq!(next(&mut first).await, "a@1>6");
    let mut second = informers.of::<ConfigMap>().subscribe();
    assert_eq!([next(&mut second).await, next(&mut second).await], ["a@6", "b@2"]);
    watch.send("DELETED", map("b", 7));
    assert_eq!([next(&mut first).await, next(&mut second).await], ["-b", "-b"]);
    assert_eq!(maps.len(), 1);

    cancel.cancel();
    assert!(first.next().await.is_none());
    let lists = server.requests().iter().filter(|request| !request.contains("watch=true")).count();
    assert_eq!(lists, 1, "both subscribers share one list");
}

#[tokio::test(start_paused = true)]
async fn an_ended_watch_is_resumed_at_the_last_bookmark() {
    let (server, informers, cancel) = started();
    server.will_list(5, vec![map("a", 1)]);
    let first = server.will_watch();
    let maps = informers.of::<ConfigMap>();
    let mut changes = maps.subscribe();
    assert_eq!(next(&mut changes).await, "a@1");
    first.send("BOOKMARK", map("", 9));
    drop(first);
    let second = server.will_watch();
    second.send("ADDED", map("b", 10));
    assert_eq!(next(&mut changes).await, "b@10");
    let watches: Vec<String> =
        server.requests().into_iter().filter(|request| request.contains("watch=true")).collect();
    assert!(
        watches[0].contains("resourceVersion=5") && watches[1].contains("resourceVersion=9"),
        "{watches:?}"
    );
    cancel.cancel();
}

#[tokio::test(start_paused = true)]
async fn after_a_compaction_a_new_list_shows_what_was_missed() {
    let (server, informers, cancel) = started();
    server.will_list(5, vec![map("stays", 1), map("changes", 2), map("goes", 3)]);
    let watch = server.will_watch();
    let maps = informers.of::<ConfigMap>();
    let mut changes = maps.subscribe();
    for expected in ["changes@2", "goes@3", "stays@1"] {
        let mut seen = Vec::new();
        seen.push(next(&mut changes).await);
        assert!(["changes@2", "goes@3", "stays@1"].contains(&seen[0].as_str()), "{expected}");
    }
    server.will_list(50, vec![map("stays", 1), map("changes", 40), map("comes", 41)]);
    watch.send("ERROR", json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}));
    assert_eq!(next(&mut changes).await, "changes@2>40");
    assert_eq!(next(&mut changes).await, "comes@41");
    assert_eq!(next(&mut changes).await, "-goes");
    cancel.cancel();
}

#[tokio::test]
async fn an_index_follows_every_change() {
    let (server, informers, cancel) = started();
    server.will_list(5, vec![map("a", 1)]);
    let watch = server.will_watch();
    let maps = informers.of::<ConfigMap>();
    let index =
        maps.index_by("first letter", |map| map.metadata.name.as_ref().map(|name| name[..1].to_owned()));
    let mut changes = maps.subscribe();
    next(&mut changes).await;
    watch.send("ADDED", map("apple", 6));
    next(&mut changes).await;
    assert_eq!((index.get("a").len(), index.count("b")), (2, 0));
    watch.send("DELETED", map("a", 7));
    next(&mut changes).await;
    assert_eq!(index.count("a"), 1);
    cancel.cancel();
}

#[tokio::test]
async fn a_condition_without_a_time_stops_nobody() {
    let (server, informers, cancel) = started();
    let service = |revision: u64| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "ns", "resourceVersion": revision.to_string()},
            "status": {"conditions": [{"type": "Odd", "status": "True", "lastTransitionTime": null}]},
        })
    };
    server.will_list(5, vec![service(1)]);
    let watch = server.will_watch();
    let services = informers.of::<Service>();
    services.synced().await;
    let mut changes = services.subscribe();
    watch.send("MODIFIED", service(6));
    for expected in ["1", "6"] {
        let change = changes.next().await.unwrap();
        assert_eq!(change.object().metadata.resource_version.as_deref(), Some(expected));
    }
    cancel.cancel();
}
