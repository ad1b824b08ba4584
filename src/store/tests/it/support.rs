//! Short names for what every test does, a clock that is set by hand, and an engine that fails on command.

// Named, because another test binary takes this file by its path.
#[path = "support/load.rs"]
pub(crate) mod load;
#[path = "support/way.rs"]
mod way;

use bytes::Bytes;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::engine::{Acknowledged, Batch, Condition, Durability, Pair, Snapshot, Storage, Written};
use store::*;

pub(crate) use way::{Fault, Way};

/// A config map of the given name.
pub(crate) fn key(name: &str) -> Key {
    Key::new("", "configmaps", "default", name)
}

pub(crate) fn all() -> Range {
    Range::resource("", "configmaps")
}

/// `{"v":<text>,"rv":<revision>}`.
pub(crate) fn value(text: &str) -> Value {
    Value::new(format!("{{\"v\":\"{text}\",\"rv\":").into(), Bytes::from_static(b"}"))
}

pub(crate) fn bytes(text: &str, revision: Revision) -> Bytes {
    format!("{{\"v\":\"{text}\",\"rv\":{revision}}}").into()
}

/// The whole object becomes the identity, so that tests see what was extracted.
pub(crate) fn options() -> Options {
    let extract = |key: &Key, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (text, _) = text.split_once(",\"rv\":").unwrap_or((&text, ""));
        Attributes { uid: format!("{key} {text}").into(), ..Attributes::default() }
    };
    Options { extract: Arc::new(extract), ..Options::default() }
}

pub(crate) async fn open_alone(engine: &Engine, options: Options) -> Store {
    Store::open(engine.clone(), options).await.unwrap()
}

/// As one of any number of servers.
pub(crate) async fn join(engine: &Engine, options: Options) -> Store {
    Store::join(engine.clone(), options, peer()).await.unwrap()
}

pub(crate) fn peer() -> Peer {
    Peer { bind: (Ipv4Addr::LOCALHOST, 0).into(), advertise: Ipv4Addr::LOCALHOST.into() }
}

/// An engine on disk whose directory goes with it.
pub(crate) fn fresh_fjall() -> Engine {
    let directory = tempfile::tempdir().unwrap();
    Engine::new(Kept { engine: fjall::open(directory.path()).unwrap(), _directory: directory })
}

pub(crate) async fn open_disk(path: &Path) -> Result<Store, OpenError> {
    Store::open(fjall::open(path)?, options()).await
}

pub(crate) async fn put(store: &Store, name: &str, text: &str) -> Revision {
    let committed = store.commit(key(name), Precondition::Any, Write::Put(value(text))).await;
    committed.unwrap().entry.revision
}

pub(crate) async fn delete(store: &Store, name: &str) -> Revision {
    let committed = store.commit(key(name), Precondition::Present, Write::Delete(value("gone"))).await;
    committed.unwrap().entry.revision
}

/// `name=revision` of every entry.
pub(crate) fn names<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>) -> Vec<String> {
    entries.into_iter().map(|entry| format!("{}={}", entry.key.name(), entry.revision)).collect()
}

/// `+name=revision` for created, `~` for updated, `-` for deleted; the previous revision behind `<`.
pub(crate) fn events(events: &[Arc<Event>]) -> Vec<String> {
    let text = |event: &Arc<Event>| {
        let sign = match event.kind {
            EventKind::Created => '+',
            EventKind::Updated => '~',
            EventKind::Deleted => '-',
        };
        let previous = event.previous.as_ref().map(|previous| format!("<{}", previous.revision));
        let entry = &event.entry;
        format!("{sign}{}={}{}", entry.key.name(), entry.revision, previous.unwrap_or_default())
    };
    events.iter().map(text).collect()
}

/// Waits until a watch has delivered everything up to a revision of its range.
pub(crate) async fn take_until(watch: &mut Watch, revision: Revision) -> Vec<Arc<Event>> {
    let mut taken = Vec::new();
    while watch.position() < revision {
        if let Item::Events(events) = watch.next().await.unwrap() {
            taken.extend(events);
        }
    }
    taken
}

pub(crate) async fn write_some(store: &Store) {
    put(store, "a", "1").await;
    put(store, "b", "1").await;
    put(store, "a", "2").await;
    delete(store, "b").await;
    put(store, "c", "1").await;
}

pub(crate) async fn check_some(store: &Store) {
    assert_eq!((store.revision(), store.horizon()), (6, 1));
    assert_eq!(names(store.snapshot(&all()).iter()), ["a=4", "c=6"]);
    let a = store.get(&key("a")).unwrap();
    assert_eq!((a.created, &a.bytes), (2, &bytes("2", 4)));
    assert_eq!(&*a.attributes.uid, "/configmaps/default/a {\"v\":\"2\"");
    assert_eq!(names(&store.list_at(&all(), 3, None, 0).await.unwrap().entries), ["a=2", "b=3"]);
    let mut resumed = store.watch(all(), 3).unwrap();
    assert_eq!(events(&take_until(&mut resumed, 6).await), ["~a=4<2", "-b=5<3", "+c=6"]);
    assert_eq!(put(store, "b", "2").await, 7);
}

/// A clock that stands until it is moved.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<AtomicU64>);

impl HandClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_secs(1_000_000) + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// An engine in memory whose synced writes can be made to fail or to wait, and whose snapshots to show something else.
#[derive(Clone)]
pub(crate) struct Controlled {
    pub(crate) engine: Engine,
    pub(crate) fails: Arc<AtomicBool>,
    /// Held by a test to keep writes from finishing.
    pub(crate) gate: Arc<Mutex<()>>,
    /// Held by a test between a write and its publication.
    pub(crate) acknowledging: Arc<Mutex<()>>,
    pub(crate) synced_batches: Arc<AtomicU64>,
    /// As long as there are any, the next snapshot shows single keys as the last of these does, and ranges as they are.
    pub(crate) skewed_by: Arc<Mutex<Vec<Box<dyn Snapshot>>>>,
}

impl Controlled {
    pub(crate) fn new() -> Self {
        Self {
            engine: memory::new(),
            fails: Arc::default(),
            gate: Arc::default(),
            acknowledging: Arc::default(),
            synced_batches: Arc::default(),
            skewed_by: Arc::default(),
        }
    }
}

impl Storage for Controlled {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        if durability == Durability::Synced {
            drop(self.gate.lock().unwrap());
            self.synced_batches.fetch_add(1, Ordering::SeqCst);
            if self.fails.load(Ordering::SeqCst) {
                return Err(EngineError::new("the disk is on fire"));
            }
        }
        self.engine.write(batch, durability)
    }

    fn write_if(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        self.engine.write_if(condition, batch)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let now = self.engine.snapshot();
        match self.skewed_by.lock().unwrap().pop() {
            Some(before) => Box::new(Skewed { before, now }),
            None => now,
        }
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        drop(self.acknowledging.lock().unwrap());
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

/// A snapshot of two moments.
struct Skewed {
    before: Box<dyn Snapshot>,
    now: Box<dyn Snapshot>,
}

impl Snapshot for Skewed {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.before.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        self.now.scan(from, to)
    }
}

/// An engine and the directory that it is in.
struct Kept {
    engine: Engine,
    _directory: tempfile::TempDir,
}

impl Storage for Kept {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.engine.write(batch, durability)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.engine.snapshot()
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

/// Counts the number at `n` up so many times by compare-and-set, and tells the revisions.
pub(crate) async fn count_up(store: Store, increments: usize) -> Vec<Revision> {
    let mut revisions = Vec::new();
    while revisions.len() < increments {
        store.catch_up().await.unwrap();
        let current = store.get(&key("n")).unwrap();
        let number = current.attributes.uid.split('"').nth(3).unwrap().parse::<usize>().unwrap();
        let next = Write::Put(value(&(number + 1).to_string()));
        match store.commit(key("n"), Precondition::Revision(current.revision), next).await {
            Ok(committed) => revisions.push(committed.entry.revision),
            // The current version that a refusal tells is at least as new as what was read.
            Err(CommitError::Conflict(newer)) => assert!(newer.revision > current.revision),
            Err(error) => panic!("{error}"),
        }
    }
    revisions
}
