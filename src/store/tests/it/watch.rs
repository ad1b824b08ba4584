//! The promises of a watch: filtered, ordered, unique, atomic, reliable, resumable, bookmarkable.

use std::sync::Arc;
use store::*;
use tokio::task::JoinHandle;

use super::place::*;
use crate::support::*;

#[tokio::test]
async fn a_watch_tells_what_happened_with_both_versions() {
    let store = open(options()).await;
    put(&store, "a", "x").await;
    let mut watch = store.watch(all(), store.revision()).unwrap();
    assert!(watch.try_next().unwrap().is_none());
    put(&store, "a", "y").await;
    put(&store, "b", "x").await;
    delete(&store, "a").await;
    put(&store, "a", "z").await;
    let taken = take_until(&mut watch, 6).await;
    assert_eq!(events(&taken), ["~a=3<2", "+b=4", "-a=5<3", "+a=6"]);
    assert_eq!(taken[2].entry.bytes, bytes("gone", 5));
    assert_eq!(taken[2].previous.as_ref().unwrap().bytes, bytes("y", 3));
}

/// The same from the ring, from the log, and from both.
#[tokio::test]
async fn a_watch_from_any_revision_gets_exactly_what_came_after_it() {
    for ring in [0, 3, 4096] {
        let store = open(Options { ring, ..options() }).await;
        let mut everything = store.watch(all(), 1).unwrap();
        for step in 0..40_u32 {
            let name = ["a", "b", "c"][(step * 5 % 7 % 3) as usize];
            match store.get(&key(name)) {
                Some(_) if step % 4 == 3 => delete(&store, name).await,
                _ => put(&store, name, &step.to_string()).await,
            };
        }
        let tip = store.revision();
        let everything = take_until(&mut everything, tip).await;
        assert_eq!(everything.len() as u64, tip - 1);
        for after in 1..=tip {
            let mut watch = store.watch(all(), after).unwrap();
            let taken = take_until(&mut watch, tip).await;
            assert_eq!(taken, everything[(after - 1) as usize..], "after {after} with a ring of {ring}");
            let one = Range::key(&key("b"));
            let mut watch = store.watch(one.clone(), after).unwrap();
            let wanted: Vec<_> =
                taken.iter().filter(|event| one.contains(&event.entry.key)).cloned().collect();
            let last = wanted.last().map_or(after, |event| event.entry.revision);
            assert_eq!(take_until(&mut watch, last).await, wanted, "one key after {after}");
        }
    }
}

#[tokio::test]
async fn a_watch_is_told_of_its_own_range_only() {
    let store = open(options()).await;
    let ranges = [
        all(),
        Range::namespace("", "configmaps", "default"),
        Range::namespace("", "configmaps", "default-2"),
        Range::key(&key("a")),
        Range::resource("", "nodes"),
    ];
    let mut watches: Vec<_> = ranges.iter().map(|range| store.watch(range.clone(), 1).unwrap()).collect();
    let written = [
        Key::new("", "configmaps", "default", "a"),
        Key::new("", "configmaps", "default", "a-b"),
        Key::new("", "configmaps", "default-2", "a"),
        Key::new("", "nodes", "", "a"),
    ];
    for key in &written {
        store.commit(key.clone(), Precondition::Absent, Write::Put(value("x"))).await.unwrap();
    }
    for (watch, range) in watches.iter_mut().zip(&ranges) {
        let expected: Vec<_> = written.iter().filter(|key| range.contains(key)).collect();
        let Some(Item::Events(events)) = watch.try_next().unwrap() else { panic!("nothing for {range:?}") };
        let told: Vec<_> = events.iter().map(|event| &event.entry.key).collect();
        assert_eq!(told, expected, "{range:?}");
        assert!(watch.try_next().unwrap().is_none());
    }
    assert_eq!(store.watch_count(), ranges.len());
    drop(watches);
    assert_eq!(store.watch_count(), 0);
}

/// Watches that begin, end and resume at random while others write see every event once, in order, without a gap.
#[tokio::test(flavor = "multi_thread")]
async fn watches_under_load_miss_nothing_and_repeat_nothing() {
    const WRITERS: usize = 8;
    const WRITES: usize = 100;
    for ring in [0, 16, 4096] {
        let store = open(Options { ring, ..options() }).await;
        let end = 1 + (WRITERS * WRITES) as u64;
        let watchers: Vec<_> = (1..6).map(|step| watch_in_pieces(store.clone(), end, step)).collect();
        let writers: Vec<_> = (0..WRITERS).map(|writer| write_many(store.clone(), writer, WRITES)).collect();
        for writer in writers {
            writer.await.unwrap();
        }
        for watcher in watchers {
            let revisions = watcher.await.unwrap();
            assert_eq!(revisions, (2..=end).collect::<Vec<_>>(), "with a ring of {ring}");
        }
    }
}

fn write_many(store: Store, writer: usize, writes: usize) -> JoinHandle<()> {
    tokio::spawn(async move {
        for _ in 0..writes {
            put(&store, &format!("w{writer}"), "x").await;
        }
    })
}

/// Watches until a revision, beginning anew from its position after every few items.
fn watch_in_pieces(store: Store, end: Revision, items: usize) -> JoinHandle<Vec<Revision>> {
    tokio::spawn(async move {
        let (mut revisions, mut position) = (Vec::new(), 1);
        while position < end {
            let mut watch = store.watch(all(), position).unwrap();
            for _ in 0..items {
                if watch.position() >= end {
                    break;
                }
                if let Item::Events(events) = watch.next().await.unwrap() {
                    revisions.extend(events.iter().map(|event| event.entry.revision));
                }
            }
            position = watch.position();
        }
        revisions
    })
}

#[tokio::test]
async fn a_slow_watcher_is_cut_off_and_can_resume() {
    let limits =
        [Options { watch_backlog: 3, ..options() }, Options { watch_backlog_bytes: 60, ..options() }];
    for limited in limits {
        let store = open(limited).await;
        let mut slow = store.watch(all(), 1).unwrap();
        let mut elsewhere = store.watch(Range::resource("", "nodes"), 1).unwrap();
        put(&store, "a", "x").await;
        take_until(&mut slow, 2).await;
        for _ in 0..5 {
            put(&store, "a", "x").await;
        }
        assert!(matches!(slow.try_next(), Err(WatchError::Lagged)));
        assert!(matches!(slow.next().await, Err(WatchError::Lagged)), "it stays so");
        assert_eq!(slow.position(), 2);
        let mut resumed = store.watch(all(), slow.position()).unwrap();
        assert_eq!(take_until(&mut resumed, 7).await.len(), 5);
        assert!(elsewhere.try_next().unwrap().is_none(), "who watches something else is not slow");
    }
}

#[tokio::test]
async fn a_watch_cannot_begin_in_the_future() {
    let store = open(options()).await;
    assert!(matches!(store.watch(all(), 2), Err(WatchError::Future { tip: 1 })));
}

#[tokio::test]
async fn closing_the_store_ends_a_watch_after_it_has_delivered_everything() {
    let store = open(options()).await;
    let mut watch = store.watch(all(), 1).unwrap();
    let waiting = tokio::spawn({
        let mut watch = store.watch(Range::resource("", "nodes"), 1).unwrap();
        async move { watch.next().await }
    });
    put(&store, "a", "x").await;
    store.shutdown().await;
    assert_eq!(events(&take_until(&mut watch, 2).await), ["+a=2"]);
    assert!(matches!(watch.next().await, Err(WatchError::Closed)));
    assert!(matches!(waiting.await.unwrap(), Err(WatchError::Closed)));
    let mut late = store.watch(all(), 1).unwrap();
    assert_eq!(events(&take_until(&mut late, 2).await), ["+a=2"]);
    assert!(matches!(late.next().await, Err(WatchError::Closed)));
}

/// A group becomes visible as a whole: whoever sees an event finds it in the current state, and nothing newer unseen.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_in_the_snapshot_taken_after_it() {
    let store = open(options()).await;
    let mut watch = store.watch(all(), 1).unwrap();
    let writers: Vec<_> = (0..4).map(|writer| write_many(store.clone(), writer, 50)).collect();
    let mut seen: Vec<Arc<Event>> = Vec::new();
    while seen.len() < 200 {
        let Item::Events(events) = watch.next().await.unwrap() else { continue };
        let snapshot = store.snapshot(&all());
        for event in &events {
            assert!(snapshot.revision >= event.entry.revision);
            assert!(snapshot.get(&event.entry.key).unwrap().revision >= event.entry.revision);
        }
        seen.extend(events);
    }
    for writer in writers {
        writer.await.unwrap();
    }
}
