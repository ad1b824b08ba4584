//! A shared engine whose snapshot shows a part of what others write while it is read, as the development TiKV's do: a server
//! that joins reads again, and believes what stays so.

use store::*;

use crate::support::*;

/// An engine of two writes, of which so many snapshots do not know the second in part.
async fn skewed(snapshots: usize) -> Engine {
    let controlled = Controlled::new();
    let engine = Engine::new(controlled.clone());
    let store = join(&engine, options()).await;
    put(&store, "a", "x").await;
    let before = (0..snapshots).map(|_| engine.snapshot()).collect();
    put(&store, "b", "x").await;
    store.close().await;
    *controlled.skewed_by.lock().unwrap() = before;
    engine
}

#[tokio::test]
async fn what_was_seen_in_part_is_read_again() {
    let store = join(&skewed(2).await, options()).await;
    assert_eq!(names(store.snapshot(&all()).iter()), ["a=2", "b=3"]);
    assert_eq!(put(&store, "c", "x").await, 4);
}

#[tokio::test]
async fn what_stays_so_is_a_hole() {
    let opened = Store::join(skewed(100).await, options(), peer()).await;
    assert!(matches!(opened, Err(OpenError::Hole { tip: 3, .. })), "{:?}", opened.map(|_| ()));
}
