//! A store that is removed from TiKV among others, and whose neighbours do not notice.

use store::engine::{Batch, Condition};
use store::tikv::Place;
use store::{Engine, Removal, RemovalError, Store, tikv};
use tokio::task::JoinSet;

use crate::place::{at, place};
use crate::support::*;

fn remove(engine: &Engine) -> u64 {
    let mut removal = Removal::look(engine.clone()).unwrap().unwrap();
    removal.claim().unwrap();
    let mut removed = 0;
    while let count @ 1.. = removal.step().unwrap() {
        removed += count;
    }
    removed
}

async fn begin(place: &Place, writes: usize) -> (Engine, Store) {
    let engine = tikv::open(place).unwrap();
    let store = join(&engine, options()).await;
    let mut writing = JoinSet::new();
    for number in 0..writes {
        let store = store.clone();
        writing.spawn(async move { put(&store, &format!("n{number}"), "x").await });
    }
    writing.join_all().await;
    (engine, store)
}

fn is_there(place: &Place) -> bool {
    tikv::survey(&at("")).unwrap().stores.iter().any(|found| found.prefix == place.prefix)
}

/// One whose prefix begins with the removed one's, one whose prefix the removed one's begins with, one beside it.
#[tokio::test(flavor = "multi_thread")]
async fn one_store_goes_and_those_around_it_stay() {
    let removed = place();
    let outer = at(removed.prefix.trim_end_matches('/'));
    let inner = at(&format!("{}inner/", removed.prefix));
    // In this order: none begins where keys of others are.
    let mut others = vec![(outer.clone(), begin(&outer, 3).await)];
    let (engine, store) = begin(&removed, 300).await;
    for place in [inner, place()] {
        others.push((place.clone(), begin(&place, 3).await));
    }
    store.close().await;
    assert!(remove(&engine) >= 600);
    assert!(Removal::look(engine).unwrap().is_none() && !is_there(&removed));
    for (place, (_, store)) in others {
        assert_eq!(put(&store, "after", "x").await, 5, "{place:?}");
        store.close().await;
        let (_, store) = begin(&place, 0).await;
        assert_eq!(store.revision(), 5, "{place:?}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_server_is_not_robbed_of_its_store() {
    let place = place();
    let (engine, store) = begin(&place, 1).await;
    let mut removal = Removal::look(engine.clone()).unwrap().unwrap();
    // An idle server shows itself by its beats alone.
    let tip = || engine.snapshot().get(b"m/tip").unwrap();
    let before = tip();
    while tip() == before {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let Err(RemovalError::InUse(who)) = removal.claim() else { panic!("it was taken away") };
    assert!(who.contains("127.0.0.1:"), "{who}");
    assert_eq!(put(&store, "after", "x").await, 3);
    store.close().await;
    remove(&engine);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_half_removed_opens_as_no_store_and_goes_in_the_end() {
    let place = place();
    let (engine, store) = begin(&place, 300).await;
    store.close().await;
    let mut removal = Removal::look(engine.clone()).unwrap().unwrap();
    removal.claim().unwrap();
    removal.step().unwrap();
    drop(removal);
    let refusal = Store::join(engine.clone(), options(), peer()).await.map(drop).unwrap_err().to_string();
    assert!(refusal.contains("is being removed for good"), "{refusal}");
    assert!(is_there(&place));
    remove(&engine);
    assert!(!is_there(&place));
    // Another may begin there.
    let (engine, store) = begin(&place, 1).await;
    assert_eq!(store.revision(), 2);
    store.close().await;
    remove(&engine);
}

/// Another store's keys in the midst of the records are not even looked past.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_within_another_ones_records_keeps_both_from_being_removed() {
    let outer = place();
    let (engine, store) = begin(&outer, 1).await;
    store.close().await;
    let mut batch = Batch::default();
    batch.put("m/format", "x");
    let condition = Condition { key: "m/format".into(), expected: None };
    let within = tikv::open(&at(&format!("{}d/within/", outer.prefix))).unwrap();
    within.write_if(&condition, batch).unwrap();
    let Err(RemovalError::Mixed(found)) = Removal::look(engine.clone()) else { panic!("it was overlooked") };
    assert_eq!(found, "d/within/");
    let mut batch = Batch::default();
    batch.remove("m/format");
    within.write_if(&Condition { key: "m/format".into(), expected: Some("x".into()) }, batch).unwrap();
    remove(&engine);
}
