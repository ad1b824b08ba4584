//! The embedded engine in one simulated process. What is done in the background otherwise is done here, now and then, by
//! the same steps, between the calls of the store.

use bytes::Bytes;
use imbl::OrdMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, STORE};
use super::tables::SimulatedTables;
use crate::engine::fjall::{Embedded, Sizes};
use crate::engine::{Acknowledged, Batch, Change, Durability, Snapshot, Storage};
use crate::record::LogRecord;
use crate::{EngineError, OpenError, Revision};

/// Where groups end: a store is never at any other revision.
pub(super) type Ends = Arc<Mutex<BTreeSet<Revision>>>;

#[derive(Clone)]
pub(super) struct Process(Arc<Inner>);

struct Inner {
    embedded: Embedded<Disk, SimulatedTables>,
    background: Mutex<Background>,
    /// What was found, and was written since.
    expected: Mutex<OrdMap<Bytes, Bytes>>,
    ends: Ends,
}

struct Background {
    random: StdRng,
    /// Whether there is nothing more to do.
    has_ended: bool,
}

impl Process {
    /// Opens the engine as it is opened in production.
    pub(super) fn open(disk: &Disk, seed: u64, sizes: Sizes, ends: Ends) -> Result<Self, OpenError> {
        let tables = SimulatedTables(disk.clone());
        let embedded = Embedded::open(disk.clone(), Path::new(STORE), sizes, |_| Ok(tables))?;
        let background = Mutex::new(Background { random: StdRng::seed_from_u64(seed), has_ended: false });
        let expected = Mutex::new(all(&*embedded.snapshot()));
        Ok(Self(Arc::new(Inner { embedded, background, expected, ends })))
    }

    /// Whether the engine is the map that was written, wherever its parts are.
    pub(super) fn check(&self) {
        assert_eq!(all(&*self.snapshot()), *self.0.expected.lock().unwrap(), "the engine has another map");
    }

    /// Goes on in the background.
    pub(super) fn step(&self) {
        let mut background = self.0.background.lock().unwrap_or_else(PoisonError::into_inner);
        if !background.has_ended {
            background.has_ended = self.0.embedded.step().is_break();
        }
    }

    /// Goes on in the background as long as the next write would wait for it, and perhaps longer.
    fn go_on(&self) {
        let mut background = self.0.background.lock().unwrap_or_else(PoisonError::into_inner);
        let more = background.random.random_bool(0.1);
        drop(background);
        if more {
            self.step();
        }
        while self.0.embedded.is_crowded() {
            self.step();
        }
    }
}

impl Storage for Process {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.go_on();
        self.0.ends.lock().unwrap_or_else(PoisonError::into_inner).extend(last_logged(&batch));
        let changes = batch.changes.clone();
        self.0.embedded.write(batch, durability)?;
        let mut expected = self.0.expected.lock().unwrap();
        for change in changes {
            match change {
                Change::Put(key, value) => expected.insert(key, value),
                Change::Remove(key) => expected.remove(&key),
            };
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        self.0.embedded.snapshot()
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        self.0.embedded.acknowledge(revision)
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        self.0.embedded.acknowledged()
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.0.embedded.sync()
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        self.0.embedded.size_in_bytes()
    }
}

pub(super) fn all(snapshot: &dyn Snapshot) -> OrdMap<Bytes, Bytes> {
    snapshot.scan(b"", b"\xff").map(Result::unwrap).collect()
}

fn last_logged(batch: &Batch) -> Option<Revision> {
    let logged = batch.changes.iter().filter_map(|change| match change {
        Change::Put(_, value) => LogRecord::decode(value),
        Change::Remove(_) => None,
    });
    logged.map(|record| record.revision).max()
}
