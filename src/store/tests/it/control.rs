//! With the clock or the engine in the hand of the test: groups, publication, progress.

use std::time::Duration;
use store::*;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_share_one_sync_and_see_each_other() {
    let controlled = Controlled::new();
    let store = Store::open(Engine::new(controlled.clone()), options()).await.unwrap();
    let before = controlled.synced_batches.load(std::sync::atomic::Ordering::SeqCst);
    let gate = controlled.gate.clone();
    let held = gate.lock().unwrap();
    let creates: Vec<_> = (0..100)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(
                async move { store.commit(key("a"), Precondition::Absent, Write::Put(value("x"))).await },
            )
        })
        .collect();
    tokio::task::block_in_place(|| std::thread::sleep(std::time::Duration::from_millis(50)));
    assert_eq!(store.revision(), 1, "nothing is published before it is durable");
    assert!(store.get(&key("a")).is_none());
    drop(held);
    let mut created = 0;
    for create in creates {
        match create.await.unwrap() {
            Ok(_) => created += 1,
            Err(CommitError::Exists(current)) => assert_eq!(current.revision, 2),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((created, store.revision()), (1, 2));
    assert_eq!(controlled.synced_batches.load(std::sync::atomic::Ordering::SeqCst) - before, 1);
}

/// The engine holds a group before it is published: neither a watch that reads the log nor a list may show it then.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::await_holding_lock, reason = "holding it is what keeps the write from being published")]
async fn what_is_durable_but_not_published_is_not_seen() {
    let controlled = Controlled::new();
    let unseen = Options { ring: 0, ..options() };
    let store = Store::open(Engine::new(controlled.clone()), unseen).await.unwrap();
    put(&store, "a", "x").await;
    let acknowledging = controlled.acknowledging.clone();
    let held = acknowledging.lock().unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move { put(&store, "a", "y").await }
    });
    while controlled.engine.snapshot().scan(b"l/", b"l0").count() < 2 {
        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(1)));
    }
    let mut watch = store.watch(all(), 1).unwrap();
    let Item::Events(seen) = watch.next().await.unwrap() else { panic!("no events") };
    assert_eq!((events(&seen), watch.position()), (vec!["+a=2".into()], 2));
    assert!(matches!(store.list_at(&all(), 3, None, 0).await, Err(ReadError::Future { tip: 2 })));
    drop(held);
    assert_eq!(writing.await.unwrap(), 3);
    assert_eq!(events(&take_until(&mut watch, 3).await), ["~a=3<2"]);
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_when_the_tip_has_moved_and_at_most_once_a_period() {
    let store =
        Store::open(memory::new(), Options { progress: Duration::from_secs(60), ..options() }).await.unwrap();
    let mut nodes = store.watch(Range::resource("", "nodes"), 1).unwrap();
    let silent = tokio::time::timeout(Duration::from_secs(600), nodes.next()).await;
    assert!(silent.is_err(), "the tip has not moved");
    put(&store, "a", "x").await;
    put(&store, "b", "x").await;
    let started = tokio::time::Instant::now();
    assert!(matches!(nodes.next().await.unwrap(), Item::Progress(3)));
    assert_eq!(nodes.position(), 3);
    put(&store, "a", "x").await;
    assert!(matches!(nodes.next().await.unwrap(), Item::Progress(4)));
    assert!(started.elapsed() >= Duration::from_secs(60), "two in {:?}", started.elapsed());
    let mut own = store.watch(all(), 4).unwrap();
    put(&store, "a", "x").await;
    assert_eq!(events(&take_until(&mut own, 5).await), ["~a=5<4"]);
    let silent = tokio::time::timeout(Duration::from_secs(600), own.next()).await;
    assert!(silent.is_err(), "the event has told it already");
}
