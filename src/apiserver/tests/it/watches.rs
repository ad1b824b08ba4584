//! Watches: what is there, what happens, what selections make of it.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::cluster::{Client, Cluster, MAPS};

pub(crate) struct Watch {
    body: apiserver::Body,
    pending: String,
}

impl Watch {
    async fn open(client: &Client, query: &str) -> Watch {
        Watch::of(client, MAPS, query).await
    }

    pub(crate) async fn of(client: &Client, path: &str, query: &str) -> Watch {
        let response = client.open(&format!("GET {path}?watch=1&{query}"), &[], "").await;
        assert_eq!(response.status(), 200);
        Watch { body: response.into_body(), pending: String::new() }
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((line, rest)) = self.pending.split_once('\n') {
                let event = serde_json::from_str(line).unwrap();
                self.pending = rest.to_owned();
                return Some(event);
            }
            let frame = self.body.frame().await?.unwrap();
            self.pending.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }

    /// Type and name of the next event.
    pub(crate) async fn expect(&mut self, expected: &str) -> Value {
        let event = self.next().await.unwrap();
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or("-");
        assert_eq!(format!("{} {name}", event["type"].as_str().unwrap()), expected, "{event}");
        event["object"].clone()
    }
}

fn map(name: &str, color: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": {"color": color}}})
}

#[tokio::test]
async fn a_watch_shows_what_is_there_and_what_happens() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, map("a", "red")).await.expect(201);
    let mut watch = Watch::open(&admin, "").await;
    watch.expect("ADDED a").await;
    admin.post(MAPS, map("b", "red")).await.expect(201);
    let added = watch.expect("ADDED b").await;
    admin.put(&format!("{MAPS}/b"), map("b", "blue")).await.expect(200);
    watch.expect("MODIFIED b").await;
    admin.delete(&format!("{MAPS}/b")).await.expect(200);
    let deleted = watch.expect("DELETED b").await;
    assert_ne!(added["metadata"]["resourceVersion"], deleted["metadata"]["resourceVersion"]);

    let from = added["metadata"]["resourceVersion"].as_str().unwrap();
    let mut past = Watch::open(&admin, &format!("resourceVersion={from}")).await;
    past.expect("MODIFIED b").await;
    past.expect("DELETED b").await;
}

#[tokio::test]
async fn what_enters_a_selection_is_added_and_what_leaves_it_deleted() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    let mut watch = Watch::open(&admin, "labelSelector=color%3Dred").await;
    admin.post(MAPS, map("a", "blue")).await.expect(201);
    let entered = admin.put(&format!("{MAPS}/a"), map("a", "red")).await.expect(200);
    assert_eq!(watch.expect("ADDED a").await, entered.json());
    let left = admin.put(&format!("{MAPS}/a"), map("a", "blue")).await.expect(200);
    let shown = watch.expect("DELETED a").await;
    assert_eq!(shown["metadata"]["labels"]["color"], "red");
    assert_eq!(shown["metadata"]["resourceVersion"], left.at("/metadata/resourceVersion"));
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, map("a", "red")).await.expect(201);
    let query =
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let mut watch = Watch::open(&admin, query).await;
    watch.expect("ADDED a").await;
    let bookmark = watch.expect("BOOKMARK -").await;
    assert_eq!(bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    watch.expect("BOOKMARK -").await;
    assert_eq!(watch.next().await, None, "its time is up");
    admin.get(&format!("{MAPS}?watch=1&sendInitialEvents=true")).await.expect(422);
}

#[tokio::test]
async fn tables_are_watched_with_their_columns_once() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    admin.post(MAPS, map("a", "red")).await.expect(201);
    admin.post(MAPS, map("b", "red")).await.expect(201);
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let answer = admin.send(&format!("GET {MAPS}?watch=1&timeoutSeconds=1"), &accept, "").await.expect(200);
    let events: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let columns: Vec<usize> = events
        .iter()
        .map(|event| event["object"]["columnDefinitions"].as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(columns, [3, 0], "name, data, age");
}
