//! A move that is killed behind each of its steps, or given up, over an engine in memory that stands for TiKV.

use std::path::Path;

use store::{CommitError, OpenError, Options, Settled, Store, fjall, memory};
use tokio_util::sync::CancellationToken;

use super::{Departing, INCOMING, gone, settle};
use crate::snapshot::moving::place::follow;
use crate::snapshot::moving::stand_in::{appears, join, open, place, put, put_at_last, told, vanishes};
use crate::snapshot::moving::word::{Intent, WORD};
use crate::store::StorePlace;

/// As many steps of a move as the process lives for.
async fn move_until_killed(data: &Path, prefix: &str, store: &Store, steps: usize) {
    let departing = Departing::intend(data, place(prefix), "server-1", open).unwrap();
    if steps == 0 {
        return;
    }
    let transfer = departing.copy(store, CancellationToken::new()).await.unwrap();
    put(store, "meanwhile").await.unwrap();
    if steps == 1 {
        return;
    }
    let newest = departing.seal(store).await.unwrap();
    if steps == 2 {
        return;
    }
    store.shutdown().await;
    departing.finish(transfer, newest).await.unwrap();
    if steps == 3 {
        return;
    }
    departing.conclude().await.unwrap();
    if steps == 4 {
        return;
    }
    departing.leave_word().unwrap();
    if steps == 5 {
        return;
    }
    departing.settle().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_behind_any_step_the_state_is_on_one_side_with_everything_and_on_one_only() {
    for steps in 0..=6 {
        let (folder, prefix, engine) = (tempfile::tempdir().unwrap(), format!("k{steps}/"), memory::new());
        let data = folder.path();
        appears(&prefix, &engine);
        let (store, other) = (join(&engine).await.unwrap(), join(&engine).await.unwrap());
        for number in 0..20 {
            put(&store, &format!("before-{number}")).await.unwrap();
        }
        move_until_killed(data, &prefix, &store, steps).await;
        drop(store);

        settle(data, open).await.unwrap();
        settle(data, open).await.unwrap();
        assert_eq!(Intent::read(data).unwrap(), None, "after step {steps}");
        assert!(!data.join(INCOMING).exists(), "after step {steps}");
        let expected = 21 + u64::from(steps > 0);
        match follow(data, told(&prefix)).unwrap() {
            StorePlace::Tikv { .. } => {
                assert!(steps < 4);
                assert_eq!(put_at_last(&other, "after").await, expected + 1, "after step {steps}");
                // It may be tried again.
                move_until_killed(data, &prefix, &other, 0).await;
            }
            StorePlace::Embedded => {
                assert!(steps >= 4);
                let copy =
                    Store::open(fjall::open(data.join("store")).unwrap(), Options::default()).await.unwrap();
                assert_eq!(put(&copy, "after").await.unwrap(), expected + 1, "after step {steps}");
                let departure = other.departed().await;
                assert!(departure.to.contains("of server-1"), "{departure}");
                assert!(matches!(put(&other, "late").await, Err(CommitError::Moved(_))));
                assert!(matches!(join(&engine).await.map(drop), Err(OpenError::Moved(_))));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tikv_cannot_be_reached_a_move_goes_on_whose_word_was_left_and_any_other_waits() {
    for steps in [2, 3, 4, 5] {
        let (folder, prefix, engine) = (tempfile::tempdir().unwrap(), format!("u{steps}/"), memory::new());
        let data = folder.path();
        appears(&prefix, &engine);
        let store = join(&engine).await.unwrap();
        move_until_killed(data, &prefix, &store, steps).await;
        vanishes(&prefix);
        match settle(data, open).await {
            Ok(has_arrived) => assert!(has_arrived && steps == 5, "after step {steps}"),
            Err(error) => {
                assert!(steps < 5, "after step {steps}: {error:#}");
                assert!(Intent::read(data).unwrap().is_some(), "what is left to do is remembered");
                assert!(data.join(INCOMING).exists() && !data.join("store").exists(), "nothing is served");
            }
        }
        appears(&prefix, &engine);
        settle(data, open).await.unwrap();
        assert_eq!(data.join("store").exists(), steps >= 4, "after step {steps}");
        let departure = store::departure(&engine).unwrap();
        assert_eq!(departure.map(|departure| departure.is_over), (steps >= 4).then_some(true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_comes_first_giving_up_or_arriving_the_state_is_on_one_side() {
    for is_given_up_first in [true, false] {
        let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
        let (data, prefix) = (folder.path(), format!("g{is_given_up_first}/"));
        appears(&prefix, &engine);
        let (store, other) = (join(&engine).await.unwrap(), join(&engine).await.unwrap());
        put(&store, "before").await.unwrap();
        let departing = Departing::intend(data, place(&prefix), "server-1", open).unwrap();
        let transfer = departing.copy(&store, CancellationToken::new()).await.unwrap();
        let newest = departing.seal(&store).await.unwrap();
        store.shutdown().await;
        departing.finish(transfer, newest).await.unwrap();
        if is_given_up_first {
            assert_eq!(store::reopen(&engine, None).unwrap(), Settled::Done);
            let refusal = departing.conclude().await.unwrap_err().to_string();
            assert!(refusal.contains("was given up meanwhile"), "{refusal}");
            assert!(!departing.settle().await.unwrap());
            assert!(!data.join(INCOMING).exists() && !data.join(WORD).exists());
            assert!(follow(data, told(&prefix)).unwrap().is_shared());
            put_at_last(&other, "after").await;
        } else {
            departing.conclude().await.unwrap();
            assert!(matches!(store::reopen(&engine, None).unwrap(), Settled::Over(_)));
            assert!(other.departed().await.is_over);
            assert!(matches!(put(&other, "late").await, Err(CommitError::Moved(_))));
            assert!(settle(data, open).await.unwrap());
            assert!(!follow(data, told(&prefix)).unwrap().is_shared());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_kept_where_the_state_that_it_is_of_was_removed() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
    let data = folder.path();
    appears("r/", &engine);
    let store = join(&engine).await.unwrap();
    move_until_killed(data, "r/", &store, 4).await;
    appears("r/", &memory::new());
    let refusal = settle(data, open).await.unwrap_err().to_string();
    assert!(refusal.contains("there is nothing any more under"), "{refusal}");
    assert!(data.join(INCOMING).exists() && Intent::read(data).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tikv_is_gone_for_good_a_complete_copy_is_taken_when_a_person_says_so_and_no_other() {
    for (steps, is_removed) in
        [(0, false), (1, false), (2, false), (3, false), (4, false), (5, false), (4, true)]
    {
        let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
        let (data, prefix) = (folder.path(), format!("w{steps}{is_removed}/"));
        appears(&prefix, &engine);
        let store = join(&engine).await.unwrap();
        put(&store, "before").await.unwrap();
        move_until_killed(data, &prefix, &store, steps).await;
        store.shutdown().await;
        if is_removed {
            appears(&prefix, &memory::new());
        } else {
            vanishes(&prefix);
        }
        match settle(data, open).await {
            Ok(has_arrived) => assert!(has_arrived && steps == 5),
            Err(error) => assert!(format!("{error:#}").contains("--tikv-is-gone"), "{error:#}"),
        }
        let gone_on = gone::go_on(data, open).await;
        if steps == 5 {
            assert!(gone_on.unwrap_err().to_string().contains("no move was broken off"));
        } else if steps < 3 {
            let refusal = format!("{:#}", gone_on.unwrap_err());
            assert!(refusal.contains("the copy in") && refusal.contains("snapshot"), "{refusal}");
            assert!(
                Intent::read(data).unwrap().is_some() && !data.join("store").exists(),
                "nothing was changed"
            );
            continue;
        } else {
            gone_on.unwrap();
        }
        assert!(!follow(data, told(&prefix)).unwrap().is_shared(), "after step {steps}");
        let copy = Store::open(fjall::open(data.join("store")).unwrap(), Options::default()).await.unwrap();
        assert_eq!(put(&copy, "after").await.unwrap(), 4, "after step {steps}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tikv_that_answers_after_all_is_believed_and_not_the_person() {
    for steps in [3, 4] {
        let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
        let (data, prefix) = (folder.path(), format!("a{steps}/"));
        appears(&prefix, &engine);
        let store = join(&engine).await.unwrap();
        move_until_killed(data, &prefix, &store, steps).await;
        gone::go_on(data, open).await.unwrap();
        assert_eq!(data.join("store").exists(), steps == 4);
        assert_eq!(follow(data, told(&prefix)).unwrap().is_shared(), steps == 3);
        assert_eq!(Intent::read(data).unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_begins_a_second_move_over_one_that_is_not_settled() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
    let data = folder.path();
    appears("t/", &engine);
    let store = join(&engine).await.unwrap();
    move_until_killed(data, "t/", &store, 1).await;
    let intent = Intent::read(data).unwrap();
    let refusal = Departing::intend(data, place("t/"), "server-1", open).map(drop).unwrap_err().to_string();
    assert!(refusal.contains("was begun and could not be taken back"), "{refusal}");
    assert_eq!(Intent::read(data).unwrap(), intent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_another_store_is_left_alone() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
    let data = folder.path();
    appears("o/", &engine);
    std::fs::create_dir(data.join("store")).unwrap();
    std::fs::write(data.join("store/acknowledged"), "").unwrap();
    let refusal = Departing::intend(data, place("o/"), "server-1", open).map(drop).unwrap_err().to_string();
    assert!(refusal.contains("holds another store"), "{refusal}");
    assert_eq!(Intent::read(data).unwrap(), None);
}
