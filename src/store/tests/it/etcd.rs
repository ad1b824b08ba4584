//! The consistency bugs that etcd had, as the table in its `tests/robustness/README.md` lists them: one test each that
//! they are not had here, named after etcd's issue.

use std::sync::atomic::Ordering;
use std::time::Duration;
use store::engine::{Acknowledged, Batch, Durability, Snapshot as EngineSnapshot, Storage};
use store::*;

use crate::cluster::{servers, until_done};
use crate::compaction::{compacted_to, open_with};
use crate::crash;
use crate::support::*;

/// Inconsistent revision caused by a crash during high load: the number that a write was given is in the object, in its
/// record and in the log, and the next write goes on from there.
#[tokio::test]
async fn issue_13766_a_crash_under_load_leaves_every_revision_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    crash::kill_under_load(directory.path(), 1 << 30, 500);
    let store = open_disk(directory.path()).await.unwrap();
    let tip = store.revision();
    let mut watch = store.watch(all(), 1).unwrap();
    let taken = take_until(&mut watch, tip).await;
    assert_eq!(taken.len() as u64, tip - 1);
    for (event, revision) in taken.iter().zip(2..) {
        assert_eq!(event.entry.revision, revision);
        assert!(event.entry.bytes.ends_with(format!(",\"rv\":{revision}}}").as_bytes()));
    }
    assert_eq!(put(&store, "after", "x").await, tip + 1);
}

/// An engine that keeps, beside what is written, what would be left of it after a power cut.
struct PowerCut {
    written: Engine,
    durable: Engine,
}

impl Storage for PowerCut {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        if durability == Durability::Synced {
            let same = Batch { changes: batch.changes.clone(), ..Batch::default() };
            self.durable.write(same, durability)?;
        }
        self.written.write(batch, durability)
    }

    fn snapshot(&self) -> Box<dyn EngineSnapshot> {
        self.written.snapshot()
    }

    fn acknowledge(&self, _: Revision) -> Result<(), EngineError> {
        Ok(())
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        Ok(None)
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        self.written.size_in_bytes()
    }
}

/// A single node can lose a write on a crash: whoever is answered is answered after the sync.
#[tokio::test]
async fn issue_14370_a_write_that_was_answered_survives_the_machine() {
    let durable = memory::new();
    let engine = Engine::new(PowerCut { written: memory::new(), durable: durable.clone() });
    let store = Store::open(engine, options()).await.unwrap();
    for step in 0..5 {
        let revision = put(&store, "a", &step.to_string()).await;
        let after = Store::open(durable.clone(), options()).await.unwrap();
        assert_eq!(after.get(&key("a")).unwrap().bytes, bytes(&step.to_string(), revision));
        after.close().await;
    }
}

/// Enabling authorization made members differ, since they judged writes by different states: here a refusal takes no
/// revision, on no server.
#[tokio::test(flavor = "multi_thread")]
async fn issue_14571_a_refused_write_changes_nothing_on_any_server() {
    let (_, servers) = servers(3).await;
    put(&servers[0].1, "a", "x").await;
    for (_, store) in &servers {
        let refusal = store.commit(key("a"), Precondition::Absent, Write::Put(value("y"))).await;
        assert!(matches!(refusal, Err(CommitError::Exists(_))));
    }
    for (_, store) in &servers {
        store.catch_up().await.unwrap();
        assert_eq!(store.revision(), 2);
    }
    assert_eq!(put(&servers[2].1, "a", "z").await, 3);
}

/// Inconsistent revision caused by a crash during defragmentation: what the engine does to keep itself small, it does
/// while the process is killed.
#[tokio::test]
async fn issue_14685_a_crash_while_space_is_given_back_leaves_every_revision_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut before = 1;
    for _ in 0..2 {
        crash::kill_under_load(directory.path(), 30_000, 700);
        let store = open_disk(directory.path()).await.unwrap();
        assert!(store.horizon() > before, "it was compacting");
        let (tip, horizon) = (store.revision(), store.horizon());
        let mut watch = store.watch(all(), horizon).unwrap();
        assert_eq!(take_until(&mut watch, tip).await.len() as u64, tip - horizon);
        for entry in store.snapshot(&all()).iter() {
            assert!(entry.bytes.ends_with(format!(",\"rv\":{}}}", entry.revision).as_bytes()));
        }
        drop(watch);
        store.close().await;
        before = tip;
    }
}

/// A progress notification that is not synced with the stream: it never comes before an event that it covers.
#[tokio::test(start_paused = true)]
async fn issue_15220_progress_is_told_behind_the_events_that_it_covers() {
    let store =
        Store::open(memory::new(), Options { progress: Duration::from_secs(1), ..options() }).await.unwrap();
    let mut watch = store.watch(all(), 1).unwrap();
    let idle = tokio::time::timeout(Duration::from_millis(900), watch.next()).await;
    assert!(idle.is_err(), "its timer runs");
    put(&store, "a", "x").await;
    store.commit(Key::new("", "nodes", "", "n"), Precondition::Any, Write::Put(value("x"))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let Item::Events(seen) = watch.next().await.unwrap() else { panic!("progress before its events") };
    assert_eq!(events(&seen), ["+a=2"]);
    assert!(matches!(watch.next().await.unwrap(), Item::Progress(3)));
}

/// A watch that travels back in time after a partition: a server that is behind does not begin a watch ahead of it.
#[tokio::test(flavor = "multi_thread")]
async fn issue_15271_a_watch_resumed_at_a_server_that_was_cut_off_sees_nothing_twice() {
    let (_, servers) = servers(3).await;
    let (way, behind) = servers.iter().find(|(_, store)| !store.orders_writes()).unwrap();
    let (_, owner) = servers.iter().find(|(_, store)| store.orders_writes()).unwrap();
    put(owner, "a", "1").await;
    behind.catch_up().await.unwrap();
    way.is_cut.store(true, Ordering::SeqCst);
    let newest = put(owner, "a", "2").await;
    assert!(matches!(behind.watch(all(), newest), Err(WatchError::Future { tip: 2 })));
    way.is_cut.store(false, Ordering::SeqCst);
    let next = until_done(owner, "b").await;
    behind.wait_for(next).await;
    let mut watch = behind.watch(all(), newest).unwrap();
    let revisions: Vec<_> =
        take_until(&mut watch, next).await.iter().map(|event| event.entry.revision).collect();
    assert_eq!(revisions, (newest + 1..=next).collect::<Vec<_>>());
}

/// A duplicated event because of cached transactions: several writes of one key in one group are as many events.
#[tokio::test(flavor = "multi_thread")]
async fn issue_17247_writes_of_one_group_are_one_event_each() {
    let controlled = Controlled::new();
    let store = Store::open(Engine::new(controlled.clone()), options()).await.unwrap();
    let mut watch = store.watch(all(), 1).unwrap();
    let held = controlled.gate.clone();
    let writes = tokio::task::block_in_place(|| {
        let _held = held.lock().unwrap();
        let spawn = |_| {
            tokio::spawn({
                let store = store.clone();
                async move { put(&store, "a", "x").await }
            })
        };
        let writes: Vec<_> = (0..20).map(spawn).collect();
        // The first may be a group of its own; all others wait for it.
        while controlled.synced_batches.load(Ordering::SeqCst) < 1 {
            std::thread::yield_now();
        }
        writes
    });
    for write in writes {
        write.await.unwrap();
    }
    let taken = take_until(&mut watch, 21).await;
    let revisions: Vec<_> = taken.iter().map(|event| event.entry.revision).collect();
    assert_eq!(revisions, (2..=21).collect::<Vec<_>>());
    for pair in taken.windows(2) {
        assert_eq!(pair[1].previous.as_ref(), Some(&pair[0].entry));
    }
    assert!(controlled.synced_batches.load(Ordering::SeqCst) < 20, "some were of one group");
}

/// Events lost while a stream starves: a slow watcher is told so, and resumes without a gap.
#[tokio::test]
async fn issue_17529_a_watcher_that_starves_is_told_and_misses_nothing() {
    let store = open_alone(&memory::new(), Options { watch_backlog: 4, ring: 8, ..options() }).await;
    let (mut position, mut seen, mut cut_off) = (1, Vec::new(), 0);
    for round in 0..20 {
        let mut watch = store.watch(all(), position).unwrap();
        for step in 0..round {
            put(&store, "a", &step.to_string()).await;
        }
        while watch.position() < store.revision() {
            match watch.next().await {
                Ok(Item::Events(events)) => seen.extend(events.iter().map(|event| event.entry.revision)),
                Ok(Item::Progress(_)) => {}
                Err(WatchError::Lagged) => {
                    cut_off += 1;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        position = watch.position();
    }
    let mut watch = store.watch(all(), position).unwrap();
    seen.extend(take_until(&mut watch, store.revision()).await.iter().map(|event| event.entry.revision));
    assert_eq!(seen, (2..=store.revision()).collect::<Vec<_>>());
    assert!(cut_off > 5, "it starved {cut_off} times");
}

/// A revision that decreases because of a crash during compaction: with everything forgotten and deleted, the number
/// stays.
#[tokio::test(start_paused = true)]
async fn issue_17780_the_revision_stays_when_everything_was_deleted_and_compacted() {
    let (engine, clock) = (memory::new(), HandClock::default());
    let store = open_with(&engine, &clock, 0).await;
    put(&store, "a", "x").await;
    put(&store, "b", "x").await;
    delete(&store, "a").await;
    delete(&store, "b").await;
    clock.advance(Duration::from_secs(301));
    compacted_to(&store, 5).await;
    // No shutdown: another process finds what the engine holds at this moment.
    let again = open_with(&engine, &clock, 0).await;
    assert_eq!((again.revision(), again.horizon()), (5, 5));
    assert_eq!(put(&again, "a", "x").await, 6);
}

/// A store whose writes 2 to 7 are `+a ~a -a +b -b +a`, compacted to a revision.
async fn compacted(horizon: Revision) -> Store {
    let (engine, clock) = (memory::new(), HandClock::default());
    let store = open_with(&engine, &clock, 0).await;
    for (revision, (name, deletes)) in
        (2..).zip([("a", false), ("a", false), ("a", true), ("b", false), ("b", true), ("a", false)])
    {
        let written = if deletes { delete(&store, name).await } else { put(&store, name, "x").await };
        assert_eq!(written, revision);
        clock.advance(Duration::from_secs(10));
    }
    // Each write is ten seconds older than the next, the last one ten seconds old.
    let age = Duration::from_secs(10) * u32::try_from(8 - horizon).unwrap();
    clock.advance(Duration::from_secs(300) - age);
    compacted_to(&store, horizon).await;
    store
}

const EVENTS: [&str; 6] = ["+a=2", "~a=3<2", "-a=4<3", "+b=5", "-b=6<5", "+a=7"];

/// An event dropped when the compaction ended at a deletion.
#[tokio::test(start_paused = true)]
async fn issue_18089_no_event_is_missing_wherever_a_compaction_ended() {
    for horizon in 2..=7 {
        let store = compacted(horizon).await;
        for after in horizon..=7 {
            let mut watch = store.watch(all(), after).unwrap();
            let taken = events(&take_until(&mut watch, 7).await);
            assert_eq!(taken, EVENTS[usize::try_from(after - 1).unwrap()..], "{after} from {horizon}");
        }
    }
}

/// Members that answer differently when a compacted revision is read: all refuse, and nothing is changed by it.
#[tokio::test(start_paused = true)]
async fn issue_18667_a_compacted_revision_is_refused_everywhere_and_changes_nothing() {
    let store = compacted(5).await;
    for revision in 1..5 {
        let refusal = store.list_at(&all(), revision, None, 0).await.unwrap_err();
        assert!(matches!(refusal, ReadError::Compacted { horizon: 5 }), "{revision}: {refusal}");
        let refusal = store.get_at(&key("a"), revision).await.unwrap_err();
        assert!(matches!(refusal, ReadError::Compacted { horizon: 5 }), "{revision}: {refusal}");
    }
    assert_eq!((store.revision(), store.horizon()), (7, 5));
    let page = store.list_at(&all(), 5, None, 0).await.unwrap();
    assert_eq!(names(&page.entries), ["b=5"]);
}

/// A deletion missing from a watch that was opened at the revision of the compaction.
#[tokio::test(start_paused = true)]
async fn issue_19179_a_watch_from_the_horizon_has_the_deletion_behind_it_and_none_begins_before() {
    for (horizon, deletion) in [(3, "-a=4<3"), (5, "-b=6<5")] {
        let store = compacted(horizon).await;
        let mut watch = store.watch(all(), horizon).unwrap();
        assert_eq!(events(&take_until(&mut watch, horizon + 1).await)[0], deletion);
        let refusal = store.watch(all(), horizon - 1).map(drop).unwrap_err();
        assert!(matches!(refusal, WatchError::Compacted { horizon: at } if at == horizon), "{refusal}");
    }
}

/// A watch on a future revision that gives old events: it is refused, by every server.
#[tokio::test(flavor = "multi_thread")]
async fn issue_20221_no_watch_begins_in_the_future() {
    let (_, servers) = servers(2).await;
    let tip = put(&servers[0].1, "a", "x").await;
    for (_, store) in &servers {
        store.catch_up().await.unwrap();
        for after in [tip + 1, tip + 100, Revision::MAX] {
            assert!(matches!(store.watch(all(), after), Err(WatchError::Future { tip: at }) if at == tip));
        }
        let mut watch: Watch = store.watch(all(), tip).unwrap();
        assert!(watch.try_next().unwrap().is_none());
    }
}
