//! A store that is closed and opened again is the same store.

use store::*;

use super::place::*;
use crate::support::*;

#[tokio::test]
async fn a_store_is_found_again() {
    let engine = fresh();
    let store = open_on(&engine, options()).await;
    write_some(&store).await;
    store.close().await;
    check_some(&open_on(&engine, options()).await).await;
}

#[tokio::test]
async fn a_watch_goes_on_from_where_it_was_after_the_store_was_opened_again() {
    let engine = fresh();
    let store = open_on(&engine, options()).await;
    write_some(&store).await;
    let mut watch = store.watch(all(), 1).unwrap();
    let before = take_until(&mut watch, 4).await;
    let position = watch.position();
    drop(watch);
    store.close().await;
    let store = open_on(&engine, options()).await;
    put(&store, "d", "1").await;
    let mut watch = store.watch(all(), position).unwrap();
    let after = take_until(&mut watch, 7).await;
    let revisions: Vec<Revision> = before.iter().chain(&after).map(|event| event.entry.revision).collect();
    assert_eq!(revisions, [2, 3, 4, 5, 6, 7]);
}
