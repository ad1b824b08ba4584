//! A state that leaves a shared engine: nothing is written from the seal on, wherever it was asked for and whatever fails;
//! given up, all goes on; over, every server says where it went.

use store::snapshot::Sharing;
use store::*;
use tokio_util::sync::CancellationToken;

use crate::cluster::{servers, until_done};
use crate::support::*;

fn away() -> Departure {
    Departure::begin("the directory /x of a".to_owned())
}

/// Writes until that is refused for good; gives the revisions that were acknowledged.
async fn write_until_sealed(store: Store, name: String) -> Vec<Revision> {
    let mut acknowledged = Vec::new();
    loop {
        match store.commit(key(&name), Precondition::Any, Write::Put(value("x"))).await {
            Ok(committed) => acknowledged.push(committed.entry.revision),
            // Known not to be done, or not known.
            Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {}
            Err(CommitError::Moved(_)) => return acknowledged,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Under load on every server, at the owner's and at a follower's.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_copy_and_nothing_is_written_behind_it() {
    for mover in [0, 2] {
        let (engine, servers) = servers(3).await;
        let writing: Vec<_> = servers
            .iter()
            .enumerate()
            .map(|(at, (_, store))| tokio::spawn(write_until_sealed(store.clone(), format!("k{at}"))))
            .collect();
        let (_, store) = &servers[mover];
        store.wait_for(50).await;
        let target = memory::new();
        let transfer =
            store.transfer(target.clone(), Sharing::Alone, CancellationToken::new()).await.unwrap();
        let departure = away();
        let newest = store.seal(departure.clone()).await.unwrap();
        assert_eq!(store.seal(departure.clone()).await.unwrap(), newest, "asked again, it says the same");
        store.shutdown().await;
        assert_eq!(transfer.finish().await.unwrap(), newest);
        assert_eq!(conclude(&engine, departure.token).unwrap(), Settled::Done);

        let mut acknowledged = Vec::new();
        for (at, writing) in writing.into_iter().enumerate().filter(|(at, _)| *at != mover) {
            acknowledged.extend(writing.await.unwrap());
            assert!(servers[at].1.departed().await.is_over);
        }
        assert!(acknowledged.iter().all(|revision| *revision <= newest), "{newest}: {acknowledged:?}");
        let copy = open_alone(&target, options()).await;
        let revisions: Vec<_> = take_until(&mut copy.watch(all(), 1).unwrap(), newest).await;
        assert_eq!(revisions.len() as u64, newest - 1);
        assert_eq!(put(&copy, "after", "x").await, newest + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_up_it_leaves_everything_as_it_was() {
    let (engine, servers) = servers(2).await;
    let (first, second) = (&servers[0].1, &servers[1].1);
    put(first, "a", "x").await;
    let departure = away();
    assert_eq!(second.seal(departure.clone()).await.unwrap(), 2);
    assert_eq!(store::departure(&engine).unwrap(), Some(departure.clone()));
    let waiting = tokio::spawn({
        let first = first.clone();
        async move { until_done(&first, "b").await }
    });
    let reading = tokio::spawn({
        let first = first.clone();
        async move { first.catch_up().await }
    });
    assert_eq!(reopen(&engine, Some([7; 16])).unwrap(), Settled::None, "another's is left alone");
    assert_eq!(reopen(&engine, Some(departure.token)).unwrap(), Settled::Done);
    assert_eq!(waiting.await.unwrap(), 3, "who waited meanwhile is served");
    reading.await.unwrap().unwrap();
    assert_eq!(until_done(second, "c").await, 4);
    assert_eq!(store::departure(&engine).unwrap(), None);
    assert_eq!(conclude(&engine, departure.token).unwrap(), Settled::None, "it cannot be over any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_over_every_server_says_where_the_state_is_and_none_joins() {
    let (engine, servers) = servers(2).await;
    let departure = away();
    servers[0].1.seal(departure.clone()).await.unwrap();
    conclude(&engine, departure.token).unwrap();
    let (_, other) = &servers[1];
    assert!(other.departed().await.to_string().contains("was moved to the directory /x of a"));
    let refusal = other.commit(key("a"), Precondition::Any, Write::Put(value("x"))).await.unwrap_err();
    assert!(refusal.to_string().contains("was moved to the directory /x of a"), "{refusal}");
    let stale = other.catch_up().await.unwrap_err();
    assert!(stale.to_string().contains("was moved to the directory /x of a"), "{stale}");
    let refusal = Store::join(engine.clone(), options(), peer()).await.map(drop).unwrap_err();
    assert!(matches!(refusal, OpenError::Moved(_)), "{refusal}");
    assert!(matches!(reopen(&engine, None).unwrap(), Settled::Over(_)), "it is not undone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_is_refused_while_one_is_under_way() {
    let (_, servers) = servers(2).await;
    servers[0].1.seal(away()).await.unwrap();
    let refusal = servers[1].1.seal(away()).await.unwrap_err();
    assert!(refusal.to_string().contains("is being moved to the directory /x of a"), "{refusal}");
}

/// The answer, the batch, or its punctuality is lost while it is sealed: it is found out, or it can be undone for certain.
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_whose_outcome_is_unknown_is_looked_for() {
    for fault in [Fault::AnswerLost, Fault::BatchLost, Fault::BatchLate] {
        for mover in [0, 1] {
            let (engine, servers) = servers(2).await;
            put(&servers[0].1, "a", "x").await;
            let (way, store) = &servers[mover];
            way.fail(fault);
            let departure = away();
            assert_eq!(store.seal(departure.clone()).await.unwrap(), 2, "{fault:?}");
            way.deliver();
            let found = store::departure(&engine).unwrap();
            assert_eq!(found, Some(departure.clone()), "{fault:?}");
            reopen(&engine, Some(departure.token)).unwrap();
            assert_eq!(until_done(store, "b").await, 3);
        }
    }
}
