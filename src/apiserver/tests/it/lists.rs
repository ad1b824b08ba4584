//! Lists: selectors, pages, revisions.

use serde_json::{Value, json};

use crate::cluster::{Client, Cluster, MAPS};

async fn fill(admin: &Client) {
    for (name, color) in [("a", "red"), ("b", "green"), ("c", "red"), ("d", "blue"), ("e", "red")] {
        let body = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": {"color": color}}});
        admin.post(MAPS, body).await.expect(201);
    }
}

fn names(list: &Value) -> String {
    let items = list["items"].as_array().unwrap();
    items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect::<Vec<_>>().join("")
}

#[tokio::test]
async fn selectors_choose() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    fill(&admin).await;
    for (query, expected) in [
        ("", "abcde"),
        ("labelSelector=color%3Dred", "ace"),
        ("labelSelector=color+in+(green,blue)", "bd"),
        ("labelSelector=!color", ""),
        ("fieldSelector=metadata.name%3Db", "b"),
        ("fieldSelector=metadata.name!%3Db", "acde"),
    ] {
        let list = admin.get(&format!("{MAPS}?{query}")).await.expect(200).json();
        assert_eq!(names(&list), expected, "{query}");
        assert_eq!(list["kind"], "ConfigMapList");
    }
    admin.get(&format!("{MAPS}?labelSelector=a%20b")).await.expect(400);
    let refused = admin.get(&format!("{MAPS}?fieldSelector=spec.x%3D1")).await.expect(400);
    assert!(refused.message().contains("spec.x"), "{}", refused.message());
}

#[tokio::test]
async fn pages_show_one_moment() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    fill(&admin).await;
    let first = admin.get(&format!("{MAPS}?limit=2")).await.expect(200).json();
    assert_eq!(names(&first), "ab");
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    admin.delete(&format!("{MAPS}/c")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = admin.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200).json();
    assert_eq!(names(&second), "cd");
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let last = admin.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200).json();
    assert_eq!(names(&last), "e");
    assert_eq!(last["metadata"].get("continue"), None);
    let red = admin.get(&format!("{MAPS}?limit=1&labelSelector=color%3Dred")).await.expect(200).json();
    assert_eq!(names(&red), "a");
    let token = red["metadata"]["continue"].as_str().unwrap();
    let query = format!("{MAPS}?limit=1&labelSelector=color%3Dred&continue={token}");
    assert_eq!(names(&admin.get(&query).await.expect(200).json()), "e");
    admin.get(&format!("{MAPS}?continue=nonsense")).await.expect(400);
}

#[tokio::test]
async fn pages_of_a_selection_leave_nothing_out() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    fill(&admin).await;
    for (selector, limit, expected) in
        [("color!%3Dblue", 1, "a b c e"), ("color%3Dred", 2, "ac e"), ("color%3Dblue", 1, "d")]
    {
        let query = format!("{MAPS}?limit={limit}&labelSelector={selector}");
        let mut page = admin.get(&query).await.expect(200).json();
        let mut pages = vec![names(&page)];
        while let Some(token) = page["metadata"]["continue"].as_str() {
            page = admin.get(&format!("{query}&continue={token}")).await.expect(200).json();
            pages.push(names(&page));
        }
        assert_eq!(pages.join(" "), expected, "{selector}");
    }
}

#[tokio::test]
async fn a_list_is_as_fresh_as_asked() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    fill(&admin).await;
    let now = admin.get(MAPS).await.at("/metadata/resourceVersion");
    let now: u64 = now.as_str().unwrap().parse().unwrap();
    admin.delete(&format!("{MAPS}/a")).await.expect(200);
    let exact =
        admin.get(&format!("{MAPS}?resourceVersion={now}&resourceVersionMatch=Exact")).await.expect(200);
    assert_eq!(names(&exact.json()), "abcde");
    let newer = admin.get(&format!("{MAPS}?resourceVersion={now}&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(names(&newer.expect(200).json()), "bcde");
    let refused = admin.get(&format!("{MAPS}?resourceVersionMatch=Exact")).await.expect(422);
    assert!(
        refused.message().contains("resourceVersionMatch is forbidden unless resourceVersion is provided")
    );
    let future = admin.get(&format!("{MAPS}?resourceVersion={}", now + 1000)).await.expect(504);
    assert!(future.message().contains("Too large resource version"), "{}", future.message());
}

#[tokio::test]
async fn a_long_list_arrives_whole_in_chunks() {
    let cluster = Cluster::start().await;
    let admin = cluster.admin();
    for at in 0..100 {
        let body = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": format!("m{at:03}")},
            "data": {"x": "y".repeat(if at == 50 { 40_000 } else { 1500 })}});
        admin.post(MAPS, body).await.expect(201);
    }
    let list = admin.get(MAPS).await.expect(200);
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 100);
    let across = admin.get("/api/v1/configmaps?limit=30").await.expect(200).json();
    let token = across["metadata"]["continue"].as_str().unwrap();
    let rest = admin.get(&format!("/api/v1/configmaps?continue={token}")).await.expect(200).json();
    let count = |list: &Value| list["items"].as_array().unwrap().len();
    assert_eq!(count(&across) + count(&rest), count(&admin.get("/api/v1/configmaps").await.json()));
    let headers = [("accept-encoding", "gzip")];
    let zipped = admin.send(&format!("GET {MAPS}"), &headers, "").await;
    assert_eq!(zipped.headers["content-encoding"], "gzip");
}
