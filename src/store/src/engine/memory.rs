//! The engine that forgets: an ordered persistent map behind a lock.
//!
//! For tests and simulations. A clone of the handle opened again is what a restart would find, which is how recovery
//! is tested without a disk.

use bytes::Bytes;
use imbl::OrdMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Acknowledged, Batch, Change, Condition, Durability, Engine, Pair, Snapshot, Storage, Written};
use crate::{EngineError, Revision};

/// An empty engine in memory.
#[must_use]
pub fn new() -> Engine {
    Engine::new(Memory::default())
}

#[derive(Default)]
struct Memory(RwLock<Contents>);

#[derive(Clone, Default)]
struct Contents {
    pairs: OrdMap<Bytes, Bytes>,
    acknowledged: Option<Revision>,
}

impl Contents {
    fn apply(&mut self, batch: Batch) {
        for change in batch.changes {
            match change {
                Change::Put(key, value) => self.pairs.insert(key, value),
                Change::Remove(key) => self.pairs.remove(&key),
            };
        }
    }
}

impl Memory {
    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn write(&self, batch: Batch, _: Durability) -> Result<(), EngineError> {
        Memory::write(self).apply(batch);
        Ok(())
    }

    fn write_if(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        let mut contents = Memory::write(self);
        if OrdMap::get(&contents.pairs, &condition.key) != condition.expected.as_ref() {
            return Ok(Written::Refused);
        }
        contents.apply(batch);
        Ok(Written::Done)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(self.read().pairs.clone())
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        Memory::write(self).acknowledged = Some(revision);
        Ok(())
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        let mark = |revision| Acknowledged { revision, evidence: "remembered in memory".to_owned() };
        Ok(self.read().acknowledged.map(mark))
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        Ok(self.read().pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

impl Snapshot for OrdMap<Bytes, Bytes> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(OrdMap::get(self, key).cloned())
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(from), Bound::Excluded(to));
        Box::new(self.range::<_, [u8]>(bounds).map(|(key, value)| Ok((key.clone(), value.clone()))))
    }
}
