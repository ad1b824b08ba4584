//! The schedule over stores in memory; one of them can be held while it is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use store::engine::{Acknowledged, Batch, Durability, Pair, Snapshot, Storage};
use store::{Engine, EngineError, Revision};

use super::*;

fn never() -> CancellationToken {
    CancellationToken::new()
}

fn schedule(to: &std::path::Path) -> Schedule {
    Schedule {
        to: Location::File(to.to_owned()),
        every: Duration::from_secs(3600),
        keep: 2,
        passphrase: None,
    }
}

#[tokio::test]
async fn snapshots_are_taken_when_due_and_the_newest_kept() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("snapshots");
    let schedule = schedule(&to);
    let store = Store::open(store::memory::new(), store::Options::default()).await.unwrap();
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let at = |minutes: i64| start + SignedDuration::from_mins(minutes);
    let hour = Duration::from_secs(3600);
    assert_eq!(schedule.turn(&store, at(0), &never()).await.unwrap(), hour);
    // What a person put there stays there.
    std::fs::write(to.join("mine.snapshot"), "x").unwrap();
    assert_eq!(schedule.turn(&store, at(20), &never()).await.unwrap(), Duration::from_secs(40 * 60));
    for hours in 1..4 {
        assert_eq!(schedule.turn(&store, at(hours * 60), &never()).await.unwrap(), hour);
    }
    let names: Vec<_> = schedule.to.list().await.unwrap().into_iter().map(|found| found.name).collect();
    let expected = ["mine", "scheduled-20260101T020000Z-r1", "scheduled-20260101T030000Z-r1"];
    assert_eq!(names, expected.map(|name| format!("{name}.snapshot")));
    store.close().await;
}

#[tokio::test]
async fn what_a_killed_server_had_begun_is_removed_and_what_still_grows_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let schedule = schedule(folder.path());
    let store = Store::open(store::memory::new(), store::Options::default()).await.unwrap();
    let names = [
        ".scheduled-20260101T000000Z-r1.snapshot.partial-1",
        ".scheduled-20260101T010000Z-r1.snapshot.partial-1",
        ".mine.snapshot.partial-1",
    ];
    let now = Timestamp::now();
    for (name, minutes) in names.into_iter().zip([11, 1, 60]) {
        let file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.set_modified((now - SignedDuration::from_mins(minutes)).into()).unwrap();
    }
    schedule.turn(&store, now, &never()).await.unwrap();
    assert_eq!(names.map(|name| folder.path().join(name).exists()), [false, true, true]);
    store.close().await;
}

#[test]
fn a_snapshot_from_the_future_does_not_end_the_schedule() {
    let schedule = schedule(std::path::Path::new("x"));
    let names = ["scheduled-20990101T000000Z-r5.snapshot".to_owned()];
    assert_eq!(schedule.due_in(&names, Timestamp::UNIX_EPOCH), Duration::ZERO);
    assert_eq!(taken_at("scheduled-x.snapshot"), None);
}

#[test]
fn flags_are_checked_before_the_server_starts() {
    let options = |to: Option<&str>, every: Option<i64>, keep| ScheduleOptions {
        to: to.map(str::to_owned),
        every: every.map(SignedDuration::from_secs),
        keep,
        passphrase_file: None,
    };
    let check = |options: ScheduleOptions, expected: &str| {
        let error = format!("{:#}", options.resolve().unwrap_err());
        assert!(error.contains(expected), "{error}");
    };
    assert!(options(None, None, None).resolve().unwrap().is_none());
    check(options(None, Some(9), None), "--snapshot-to");
    check(options(Some("x"), Some(0), None), "at least 1s");
    check(options(Some("x"), None, Some(0)), "at least 1");
    check(options(Some("ftp://x"), None, None), "neither a path nor");
    let schedule = options(Some("x"), None, None).resolve().unwrap().unwrap();
    assert_eq!((schedule.every, schedule.keep), (Duration::from_secs(6 * 3600), 28));
}

/// An engine whose versions, once it is held, are read when somebody lets them.
struct Held {
    engine: Engine,
    gate: Arc<Gate>,
}

struct Gate {
    is_closed: AtomicBool,
    /// Told when somebody stands before it.
    reached: Sender<()>,
    /// Ends when it opens.
    opened: Mutex<Receiver<()>>,
}

struct View {
    snapshot: Box<dyn Snapshot>,
    gate: Arc<Gate>,
}

impl Snapshot for View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.snapshot.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        if from.starts_with(b"d/") && self.gate.is_closed.load(Ordering::Relaxed) {
            self.gate.reached.send(()).unwrap();
            self.gate.opened.lock().unwrap().recv().unwrap_err();
        }
        self.snapshot.scan(from, to)
    }
}

impl Storage for Held {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.engine.write(batch, durability)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(View { snapshot: self.engine.snapshot(), gate: self.gate.clone() })
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        self.engine.acknowledge(revision)
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        self.engine.acknowledged()
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.engine.sync()
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        self.engine.size_in_bytes()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_being_taken_when_the_server_ends_is_broken_off_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    let (reached, is_reached) = channel();
    let (open, opened) = channel::<()>();
    let gate = Arc::new(Gate { is_closed: AtomicBool::new(false), reached, opened: Mutex::new(opened) });
    let engine = Engine::new(Held { engine: store::memory::new(), gate: gate.clone() });
    let store = Store::open(engine, store::Options::default()).await.unwrap();
    gate.is_closed.store(true, Ordering::Relaxed);
    let cancel = CancellationToken::new();
    let (taken_from, ends) = (store.clone(), cancel.clone());
    let schedule = schedule(folder.path());
    let running = tokio::spawn(async move { schedule.turn(&taken_from, Timestamp::now(), &ends).await });
    tokio::task::spawn_blocking(move || is_reached.recv()).await.unwrap().unwrap();
    assert_eq!(files(), 1, "it grows under another name");
    cancel.cancel();
    drop(open);
    let reason = running.await.unwrap().unwrap_err();
    assert_eq!(reason.root_cause().to_string(), "it was broken off", "{reason:#}");
    assert_eq!(files(), 0);
    // The schedule takes that for its end.
    run(self::schedule(folder.path()), store.clone(), cancel).await.unwrap();
    assert_eq!(files(), 0);
    store.close().await;
}
