//! Short names for what every test does, a clock that is set by hand, and an engine that fails on command.

use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::engine::{Acknowledged, Batch, Durability, Snapshot, Storage};
use store::*;

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

pub(crate) async fn open_memory() -> Store {
    Store::open(memory::new(), options()).await.unwrap()
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

/// An engine in memory whose synced writes can be made to fail or to wait.
#[derive(Clone)]
pub(crate) struct Controlled {
    pub(crate) engine: Engine,
    pub(crate) fails: Arc<AtomicBool>,
    /// Held by a test to keep writes from finishing.
    pub(crate) gate: Arc<Mutex<()>>,
    /// Held by a test between a write and its publication.
    pub(crate) acknowledging: Arc<Mutex<()>>,
    pub(crate) synced_batches: Arc<AtomicU64>,
}

impl Controlled {
    pub(crate) fn new() -> Self {
        Self {
            engine: memory::new(),
            fails: Arc::default(),
            gate: Arc::default(),
            acknowledging: Arc::default(),
            synced_batches: Arc::default(),
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

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.engine.snapshot()
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
