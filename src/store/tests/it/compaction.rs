//! Forgetting: what is older than the horizon goes, everything else stays exact, and space is given back.

use std::sync::Arc;
use std::time::Duration;
use store::*;

use crate::support::*;

const HORIZON: Duration = Duration::from_secs(300);

/// A store whose clock stands still and whose compaction looks at it often.
pub(crate) async fn open_with(engine: &Engine, clock: &HandClock, ring: usize) -> Store {
    let options = Options {
        clock: Arc::new(clock.clone()),
        horizon: HORIZON,
        compaction_slack: Duration::ZERO,
        ring,
        ..options()
    };
    Store::open(engine.clone(), options).await.unwrap()
}

/// Lets the compaction's timers run out, and it itself do what is due.
pub(crate) async fn compacted_to(store: &Store, horizon: Revision) {
    for _ in 0..1000 {
        if store.horizon() >= horizon {
            break;
        }
        tokio::time::sleep(HORIZON / 10).await;
    }
    assert_eq!(store.horizon(), horizon);
}

#[tokio::test(start_paused = true)]
async fn revisions_older_than_the_horizon_are_forgotten_and_younger_ones_are_not() {
    for ring in [0, 4096] {
        let (engine, clock) = (memory::new(), HandClock::default());
        let store = open_with(&engine, &clock, ring).await;
        put(&store, "a", "1").await;
        put(&store, "b", "1").await;
        put(&store, "a", "2").await;
        delete(&store, "b").await;
        clock.advance(HORIZON / 2);
        put(&store, "a", "3").await;
        assert_eq!(store.horizon(), 1);
        let mut late = store.watch(all(), 2).unwrap();
        assert_eq!(names(&store.list_at(&all(), 3, None, 0).await.unwrap().entries), ["a=2", "b=3"]);
        clock.advance(HORIZON / 2);
        compacted_to(&store, 5).await;
        let refusal = store.list_at(&all(), 4, None, 0).await.unwrap_err();
        assert!(matches!(refusal, ReadError::Compacted { horizon: 5 }), "{refusal}");
        assert!(matches!(store.get_at(&key("a"), 4).await, Err(ReadError::Compacted { horizon: 5 })));
        assert!(matches!(store.watch(all(), 4), Err(WatchError::Compacted { horizon: 5 })));
        assert_eq!(names(&store.list_at(&all(), 5, None, 0).await.unwrap().entries), ["a=4"]);
        assert_eq!(names(&store.list_at(&all(), 6, None, 0).await.unwrap().entries), ["a=6"]);
        match late.next().await {
            Ok(Item::Events(had)) if ring > 0 => {
                assert_eq!(events(&had).join(" "), "+b=3 ~a=4<2 -b=5<3 ~a=6<4");
            }
            Err(WatchError::Compacted { horizon: 5 }) if ring == 0 => {}
            other => panic!("{other:?} with a ring of {ring}"),
        }
        drop(late);
        let mut watch = store.watch(all(), 5).unwrap();
        assert_eq!(events(&take_until(&mut watch, 6).await), ["~a=6<4"]);
        drop(watch);
        clock.advance(HORIZON);
        compacted_to(&store, 6).await;
        assert_eq!(names(store.snapshot(&all()).iter()), ["a=6"]);
        // Of all versions and log records one is left, beside the format and the horizon.
        assert_eq!(engine.snapshot().scan(b"", b"\xff").count(), 3);
        store.close().await;
        let again = open_with(&engine, &clock, ring).await;
        assert_eq!((again.horizon(), again.revision()), (6, 6));
        assert_eq!(names(again.snapshot(&all()).iter()), ["a=6"]);
        assert_eq!(put(&again, "b", "2").await, 7);
    }
}

#[tokio::test]
async fn history_that_outgrows_its_limit_is_forgotten_whatever_its_age() {
    let limit = 20_000;
    let engine = memory::new();
    let store = Store::open(engine.clone(), Options { history_limit: limit, ..options() }).await.unwrap();
    let text = "x".repeat(1000);
    for _ in 0..200 {
        put(&store, "a", &text).await;
    }
    while engine.size_in_bytes().unwrap() > 2 * limit {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(store.horizon() < store.revision(), "what fits is kept");
    // The horizon may still be on its way.
    let (horizon, oldest) = loop {
        let horizon = store.horizon();
        if let Ok(page) = store.list_at(&all(), horizon, None, 0).await {
            break (horizon, page);
        }
    };
    assert_eq!(names(&oldest.entries), [format!("a={horizon}")]);
}

#[tokio::test]
async fn a_disk_gives_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let engine = fjall::open(directory.path()).unwrap();
    let store = Store::open(engine, Options { history_limit: 1 << 20, ..options() }).await.unwrap();
    let text = "x".repeat(100_000);
    for _ in 0..1000 {
        put(&store, "a", &text).await;
    }
    // A hundred megabytes were written; two journals and a few tables may be there at any time.
    for _ in 0..500 {
        if store.size_in_bytes().await.unwrap() < 90_000_000 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        put(&store, "a", &text).await;
    }
    panic!("{} bytes are still taken", store.size_in_bytes().await.unwrap());
}
