//! The engine fails: nobody is told a wrong outcome, and nothing more is written.

use std::sync::atomic::Ordering;
use store::*;

use crate::support::*;

#[tokio::test]
async fn a_failed_sync_makes_the_outcome_unknown_and_poisons_the_store() {
    let controlled = Controlled::new();
    let store = Store::open(Engine::new(controlled.clone()), options()).await.unwrap();
    put(&store, "a", "x").await;
    let mut watch = store.watch(all(), 2).unwrap();
    assert!(store.is_writable());
    controlled.fails.store(true, Ordering::SeqCst);
    let outcome = store.commit(key("a"), Precondition::Any, Write::Put(value("y"))).await.unwrap_err();
    assert!(matches!(&outcome, CommitError::Unknown(cause) if cause == "the disk is on fire"), "{outcome}");
    controlled.fails.store(false, Ordering::SeqCst);
    let outcome = store.commit(key("b"), Precondition::Any, Write::Put(value("y"))).await.unwrap_err();
    assert!(matches!(&outcome, CommitError::Poisoned(cause) if cause == "the disk is on fire"), "{outcome}");
    assert!(!store.is_writable());
    assert_eq!(store.revision(), 2, "what is not durable is not published");
    assert!(watch.try_next().unwrap().is_none());
    assert_eq!(store.get(&key("a")).unwrap().bytes, bytes("x", 2), "reads go on");
    store.close().await;
    let again = Store::open(controlled.engine.clone(), options()).await.unwrap();
    assert_eq!(put(&again, "b", "z").await, 3);
}
