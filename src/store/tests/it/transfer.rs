//! A store copied into another engine while it goes on.

use store::snapshot::{Error, Sharing};
use store::*;
use tokio_util::sync::CancellationToken;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_under_load_with_its_revisions_and_its_history() {
    for (from, sharing) in [(fresh_fjall(), Sharing::Shared), (memory::new(), Sharing::Alone)] {
        let store = match sharing {
            Sharing::Shared => open_alone(&from, options()).await,
            Sharing::Alone => join(&from, options()).await,
        };
        write_some(&store).await;
        let writer = store.clone();
        let writing = tokio::spawn(async move {
            let mut acknowledged = 0;
            for round in 0.. {
                let name = format!("n{:03}", round % 300);
                match writer
                    .commit(key(&name), Precondition::Any, Write::Put(value(&round.to_string())))
                    .await
                {
                    Ok(committed) => acknowledged = committed.entry.revision,
                    Err(CommitError::Closed | CommitError::Unavailable(_)) => break,
                    Err(other) => panic!("{other}"),
                }
            }
            acknowledged
        });
        let target = memory::new();
        let mut transfer = store.transfer(target.clone(), sharing, CancellationToken::new()).await.unwrap();
        for _ in 0..5 {
            store.wait_for(transfer.copied() + 20).await;
            let (caught_up, writes) = transfer.catch_up().await.unwrap();
            assert!(writes >= 20, "{writes}");
            transfer = caught_up;
        }
        let early = Store::open(target.clone(), options()).await.unwrap_err();
        assert!(matches!(early, OpenError::Unfinished), "{early}");
        store.shutdown().await;
        let revision = transfer.finish().await.unwrap();
        let acknowledged = writing.await.unwrap();
        assert_eq!((revision, revision), (store.revision(), acknowledged));

        let copy = match sharing {
            Sharing::Shared => join(&target, options()).await,
            Sharing::Alone => open_alone(&target, options()).await,
        };
        assert_eq!((copy.revision(), copy.horizon()), (revision, 1));
        let entries = |store: &Store| store.snapshot(&all()).iter().cloned().collect::<Vec<_>>();
        assert_eq!(entries(&copy), entries(&store));
        assert_eq!(names(&copy.list_at(&all(), 3, None, 0).await.unwrap().entries), ["a=2", "b=3"]);
        let mut resumed = copy.watch(all(), 3).unwrap();
        let seen = take_until(&mut resumed, revision).await;
        assert_eq!(seen.len() as u64, revision - 3);
        assert_eq!(put(&copy, "b", "2").await, revision + 1);
        copy.close().await;
        // The source is what it was.
        drop(store);
        if sharing == Sharing::Shared {
            let again = open_alone(&from, options()).await;
            assert_eq!(again.revision(), revision);
            again.close().await;
        }
    }
}

#[tokio::test]
async fn a_transfer_that_is_given_up_leaves_the_source_and_can_be_begun_again() {
    let from = memory::new();
    let store = open_alone(&from, options()).await;
    write_some(&store).await;
    let target = memory::new();
    drop(store.transfer(target.clone(), Sharing::Shared, CancellationToken::new()).await.unwrap());
    check_some(&store).await;
    let transfer = store.transfer(target.clone(), Sharing::Shared, CancellationToken::new()).await.unwrap();
    store.shutdown().await;
    assert_eq!(transfer.finish().await.unwrap(), 7);
    let again =
        store.transfer(target.clone(), Sharing::Shared, CancellationToken::new()).await.err().unwrap();
    assert!(matches!(again, Error::NotEmpty { .. }), "{again}");
}

#[tokio::test]
async fn a_transfer_that_is_slower_than_the_history_is_kept_says_so() {
    let clock = HandClock::default();
    let options = Options { clock: std::sync::Arc::new(clock.clone()), history_limit: 2000, ..options() };
    let store = open_alone(&memory::new(), options).await;
    write_some(&store).await;
    let transfer = store.transfer(memory::new(), Sharing::Alone, CancellationToken::new()).await.unwrap();
    let copied = transfer.copied();
    while store.horizon() <= copied {
        put(&store, "a", &"x".repeat(500)).await;
    }
    let error = transfer.catch_up().await.err().unwrap();
    assert!(matches!(error, Error::TooSlow { .. }), "{error}");
    store.close().await;
}

#[tokio::test]
async fn a_transfer_that_was_cancelled_writes_nothing_more() {
    let store = open_alone(&memory::new(), options()).await;
    write_some(&store).await;
    let (target, cancel) = (memory::new(), CancellationToken::new());
    let transfer = store.transfer(target.clone(), Sharing::Alone, cancel.clone()).await.unwrap();
    put(&store, "late", "x").await;
    cancel.cancel();
    let given_up = transfer.catch_up().await.err().unwrap();
    assert!(matches!(given_up, Error::GivenUp), "{given_up}");
    let begun = store.transfer(memory::new(), Sharing::Alone, cancel).await.err().unwrap();
    assert!(matches!(begun, Error::GivenUp), "{begun}");
    let unfinished = Store::open(target, options()).await.unwrap_err();
    assert!(matches!(unfinished, OpenError::Unfinished), "{unfinished}");
    store.close().await;
}
