//! Writes: order, preconditions, what is stored, what is refused.

use bytes::Bytes;
use std::collections::HashSet;
use store::*;

use super::place::*;
use crate::support::*;

/// Handlers hold these across awaits.
const _: () = {
    const fn shareable<T: Send + Sync>() {}
    shareable::<Store>();
    shareable::<Watch>();
    shareable::<Snapshot>();
};

#[tokio::test]
async fn a_fresh_store_is_at_revision_one_and_its_first_write_gets_two() {
    let store = open(options()).await;
    assert_eq!((store.revision(), store.horizon()), (1, 1));
    assert_eq!(put(&store, "a", "x").await, 2);
    assert_eq!(store.revision(), 2);
}

#[tokio::test]
async fn an_entry_carries_its_revision_its_creation_and_its_attributes() {
    let store = open(options()).await;
    put(&store, "a", "x").await;
    put(&store, "a", "y").await;
    let entry = store.get(&key("a")).unwrap();
    assert_eq!((entry.revision, entry.created), (3, 2));
    assert_eq!(entry.bytes, bytes("y", 3));
    assert_eq!(&*entry.attributes.uid, "/configmaps/default/a {\"v\":\"y\"");
    delete(&store, "a").await;
    assert!(store.get(&key("a")).is_none());
    assert_eq!(put(&store, "a", "z").await, 5);
    assert_eq!(store.get(&key("a")).unwrap().created, 5);
}

#[tokio::test]
async fn a_deletion_gives_the_final_state_with_its_own_revision() {
    let store = open(options()).await;
    put(&store, "a", "x").await;
    let gone = store.commit(key("a"), Precondition::Revision(2), Write::Delete(value("last"))).await.unwrap();
    assert_eq!((gone.entry.revision, gone.entry.created), (3, 2));
    assert_eq!(gone.entry.bytes, bytes("last", 3));
}

#[tokio::test]
async fn preconditions_are_checked_against_the_current_version() {
    let store = open(options()).await;
    put(&store, "there", "x").await;
    let outcome = async |name: &str, precondition, write: Write| match store
        .commit(key(name), precondition, write)
        .await
    {
        Ok(_) => "done".to_owned(),
        Err(CommitError::Exists(current)) => format!("exists at {}", current.revision),
        Err(CommitError::Conflict(current)) => format!("conflict with {}", current.revision),
        Err(CommitError::Missing) => "missing".to_owned(),
        Err(error) => panic!("{error}"),
    };
    let put = || Write::Put(value("y"));
    let remove = || Write::Delete(value("y"));
    assert_eq!(outcome("there", Precondition::Absent, put()).await, "exists at 2");
    assert_eq!(outcome("there", Precondition::Revision(7), put()).await, "conflict with 2");
    assert_eq!(outcome("there", Precondition::Revision(7), remove()).await, "conflict with 2");
    assert_eq!(outcome("absent", Precondition::Revision(2), put()).await, "missing");
    assert_eq!(outcome("absent", Precondition::Present, put()).await, "missing");
    for precondition in [Precondition::Absent, Precondition::Present, Precondition::Any] {
        assert_eq!(outcome("absent", precondition, remove()).await, "missing", "{precondition:?}");
    }
    assert_eq!(store.revision(), 2, "refused writes take no revision");
    assert_eq!(outcome("absent", Precondition::Absent, put()).await, "done");
    assert_eq!(outcome("there", Precondition::Revision(2), put()).await, "done");
    assert_eq!(outcome("there", Precondition::Present, put()).await, "done");
    assert_eq!(outcome("there", Precondition::Any, remove()).await, "done");
}

#[tokio::test]
async fn values_and_keys_that_cannot_be_stored_are_refused() {
    let store = open(Options { value_limit: 10, ..options() }).await;
    let large = Write::Put(Value::whole(Bytes::from_static(b"eleven byte")));
    let refusal = store.commit(key("a"), Precondition::Any, large).await.unwrap_err();
    assert!(matches!(refusal, CommitError::TooLarge { size: 11, limit: 10 }), "{refusal}");
    let fits = || Write::Put(Value::whole(Bytes::from_static(b"ten bytes!")));
    let refusal = store.commit(key("a/b"), Precondition::Any, fits()).await.unwrap_err();
    assert!(matches!(refusal, CommitError::BadKey(_)), "{refusal}");
    store.commit(key("a"), Precondition::Any, fits()).await.unwrap();
    assert_eq!(&store.get(&key("a")).unwrap().bytes[..], b"ten bytes!");
}

/// Many tasks count one number up by compare-and-set: no increment is lost, and no revision is given twice.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_compare_and_set_loses_nothing() {
    const TASKS: usize = 16;
    const INCREMENTS: usize = 25;
    let store = open(options()).await;
    put(&store, "n", "0").await;
    let tasks = (0..TASKS).map(|_| tokio::spawn(count_up(store.clone(), INCREMENTS)));
    let mut revisions = HashSet::new();
    for task in tasks.collect::<Vec<_>>() {
        let own = task.await.unwrap();
        assert!(own.is_sorted(), "a task's later write has a later revision");
        revisions.extend(own);
    }
    assert_eq!(revisions.len(), TASKS * INCREMENTS);
    let last = store.get(&key("n")).unwrap();
    assert_eq!(last.bytes, bytes(&(TASKS * INCREMENTS).to_string(), last.revision));
    assert_eq!(store.revision(), 2 + (TASKS * INCREMENTS) as u64, "revisions are dense");
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_still_reads() {
    let store = open(options()).await;
    put(&store, "a", "x").await;
    store.shutdown().await;
    store.shutdown().await;
    let refusal = store.commit(key("a"), Precondition::Any, Write::Put(value("y"))).await.unwrap_err();
    assert!(matches!(refusal, CommitError::Closed), "{refusal}");
    assert_eq!(store.get(&key("a")).unwrap().revision, 2);
}
