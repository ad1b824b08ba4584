//! What was forgotten is answered with 410, and clients are told how to go on.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value;

use crate::cluster::{Cluster, MAPS, config_map};

/// A cluster that forgets at once.
async fn forgetful() -> Cluster {
    let mut options = apiserver::store_options();
    (options.horizon, options.compaction_slack) = (Duration::ZERO, Duration::ZERO);
    Cluster::with(options).await
}

/// Waits until nothing before `revision` is known any more.
async fn forgotten(cluster: &Cluster, revision: &Value) {
    let revision: u64 = revision.as_str().unwrap().parse().unwrap();
    let wait = async {
        while cluster.store.horizon() < revision {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the store forgets");
}

#[tokio::test]
async fn an_expired_continue_token_comes_with_one_that_goes_on_in_the_present() {
    let cluster = forgetful().await;
    let admin = cluster.admin();
    for name in ["a", "b", "c"] {
        admin.post(MAPS, config_map(name, "1")).await.expect(201);
    }
    let page = admin.get(&format!("{MAPS}?limit=1")).await.expect(200);
    let token = page.at("/metadata/continue");
    let next = |token: &Value| format!("{MAPS}?limit=2&continue={}", token.as_str().unwrap());
    let last = admin.post(MAPS, config_map("d", "1")).await.expect(201);
    forgotten(&cluster, &last.at("/metadata/resourceVersion")).await;
    let expired = admin.get(&next(&token)).await.expect(410);
    assert_eq!(expired.at("/reason"), "Expired");
    assert!(expired.message().starts_with("The provided continue parameter is too old"), "{}", expired.text);
    let rest = admin.get(&next(&expired.at("/metadata/continue"))).await.expect(200);
    assert_eq!(
        (rest.at("/items/0/metadata/name"), rest.at("/items/1/metadata/name")),
        ("b".into(), "c".into())
    );
    let exact = page.at("/metadata/resourceVersion");
    let exact = format!("{MAPS}?resourceVersionMatch=Exact&resourceVersion={}", exact.as_str().unwrap());
    admin.get(&exact).await.expect(410);
}

#[tokio::test]
async fn a_watch_from_what_was_forgotten_ends_with_an_expired_status() {
    let cluster = forgetful().await;
    let admin = cluster.admin();
    let old = admin.post(MAPS, config_map("a", "1")).await.expect(201).at("/metadata/resourceVersion");
    let new = admin.post(MAPS, config_map("b", "1")).await.expect(201).at("/metadata/resourceVersion");
    forgotten(&cluster, &new).await;
    let line = format!("GET {MAPS}?watch=1&resourceVersion={}", old.as_str().unwrap());
    let response = admin.open(&line, &[], "").await;
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&410.into(), &"Expired".into()));
    let message = event["object"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("too old resource version: {} (", old.as_str().unwrap())),
        "{message}"
    );
    let protobuf = [("accept", machinery::protobuf::MEDIA_TYPE)];
    let answer = admin.send(&line, &protobuf, "").await.expect(200);
    assert_eq!(crate::protobuf::events(&answer.bytes), [("ERROR".to_owned(), event["object"].clone())]);
}
