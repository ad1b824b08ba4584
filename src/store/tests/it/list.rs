//! Lists: of the present, of a revision in memory, of a revision on the disk.

use std::collections::BTreeMap;
use std::time::Duration;
use store::*;

use super::place::*;
use crate::support::*;

#[tokio::test]
async fn a_snapshot_does_not_change() {
    let store = open(options()).await;
    for name in ["b", "a", "c"] {
        put(&store, name, "x").await;
    }
    let snapshot = store.snapshot(&all());
    delete(&store, "a").await;
    put(&store, "d", "x").await;
    assert_eq!(snapshot.revision, 4);
    assert_eq!(names(snapshot.iter()), ["a=3", "b=2", "c=4"]);
    assert_eq!(names(snapshot.iter_after(&key("a"))), ["b=2", "c=4"]);
    assert_eq!(names(snapshot.iter_after(&key("zz"))), [""; 0]);
    assert_eq!((snapshot.len(), snapshot.get(&key("a")).is_some()), (3, true));
    assert_eq!(names(store.snapshot(&all()).iter()), ["b=2", "c=4", "d=6"]);
}

#[tokio::test]
async fn a_range_holds_its_own_only() {
    let store = open(options()).await;
    let write = async |key: Key| {
        store.commit(key, Precondition::Absent, Write::Put(value("x"))).await.unwrap();
    };
    write(Key::new("", "configmaps", "default", "a")).await;
    write(Key::new("", "configmaps", "default-2", "a")).await;
    write(Key::new("", "configmaps", "other", "a")).await;
    write(Key::new("", "nodes", "", "a")).await;
    fn check(store: &Store, range: &Range, expected: &[&str]) {
        let snapshot = store.snapshot(range);
        assert_eq!(names(snapshot.iter()), expected, "{range:?}");
        assert_eq!(snapshot.len(), expected.len(), "{range:?}");
        assert_eq!(snapshot.is_empty(), expected.is_empty(), "{range:?}");
    }
    check(&store, &all(), &["a=3", "a=2", "a=4"]);
    check(&store, &Range::namespace("", "configmaps", "default"), &["a=2"]);
    check(&store, &Range::namespace("", "configmaps", "absent"), &[]);
    check(&store, &Range::key(&Key::new("", "configmaps", "other", "a")), &["a=4"]);
    check(&store, &Range::resource("", "nodes"), &["a=5"]);
    check(&store, &Range::namespace("", "nodes", ""), &["a=5"]);
    check(&store, &Range::resource("apps", "configmaps"), &[]);
}

/// Every past revision reads the same from the ring and from the engine, and as it was when it was the present.
#[tokio::test]
async fn a_list_at_a_revision_is_exact() {
    for ring in [0, 5, 4096] {
        let store = open(Options { ring, ..options() }).await;
        let mut past = BTreeMap::from([(1, Vec::new())]);
        for step in 0..60_u32 {
            let name = ["a", "a-b", "b", "c"][(step * 7 % 11 % 4) as usize];
            let revision = match store.get(&key(name)) {
                Some(_) if step % 3 == 0 => delete(&store, name).await,
                _ => put(&store, name, &step.to_string()).await,
            };
            past.insert(revision, names(store.snapshot(&all()).iter()));
        }
        for (revision, expected) in past {
            let page = store.list_at(&all(), revision, None, 0).await.unwrap();
            assert_eq!(names(&page.entries), expected, "at {revision} with a ring of {ring}");
            assert!(!page.more);
            for entry in &page.entries {
                assert_eq!(store.get_at(&entry.key, revision).await.unwrap().as_ref(), Some(entry));
                assert!(entry.bytes.ends_with(format!(":{}}}", entry.revision).as_bytes()));
                assert!(!entry.attributes.uid.is_empty());
            }
            let absent = expected.iter().all(|name| !name.starts_with("a-b="));
            assert_eq!(store.get_at(&key("a-b"), revision).await.unwrap().is_none(), absent);
        }
    }
}

#[tokio::test]
async fn pages_of_a_revision_make_up_its_list() {
    for ring in [0, 4096] {
        let store = open(Options { ring, ..options() }).await;
        for name in ["a", "a-b", "b", "c", "d"] {
            put(&store, name, "x").await;
        }
        let revision = store.revision();
        put(&store, "a", "y").await;
        put(&store, "aa", "y").await;
        delete(&store, "b").await;
        let first = store.list_at(&all(), revision, None, 2).await.unwrap();
        assert_eq!((names(&first.entries), first.more), (vec!["a=2".into(), "a-b=3".into()], true));
        let last = &first.entries[1].key;
        let second = store.list_at(&all(), revision, Some(last), 3).await.unwrap();
        assert_eq!((names(&second.entries).join(" "), second.more), ("b=4 c=5 d=6".into(), false));
        assert_eq!(second.remaining, Some(0));
        if ring > 0 {
            assert_eq!(first.remaining, Some(3));
        }
    }
}

#[tokio::test]
async fn a_revision_that_does_not_exist_yet_is_refused_and_can_be_waited_for() {
    let store = open(options()).await;
    let refusal = store.list_at(&all(), 2, None, 0).await.unwrap_err();
    assert!(matches!(refusal, ReadError::Future { tip: 1 }), "{refusal}");
    let waiting = tokio::spawn({
        let store = store.clone();
        async move {
            store.wait_for(3).await;
            store.revision()
        }
    });
    put(&store, "a", "x").await;
    put(&store, "a", "x").await;
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap(), 3);
}
