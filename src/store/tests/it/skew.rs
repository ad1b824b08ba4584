//! A shared engine whose snapshot shows a part of what others write while it is read, as the development TiKV's do: a server
//! that joins reads again, and believes what stays so.

use bytes::Bytes;
use std::sync::Mutex;
use store::engine::{Acknowledged, Batch, Condition, Durability, Pair, Snapshot, Storage, Written};
use store::*;

use crate::support::*;

/// As many snapshots as are left show single keys as they were before the last write, and ranges as they are.
struct Skewed {
    engine: Engine,
    before: Mutex<Vec<Box<dyn Snapshot>>>,
}

impl Storage for Skewed {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.engine.write(batch, durability)
    }

    fn write_if(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        self.engine.write_if(condition, batch)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let after = self.engine.snapshot();
        match self.before.lock().unwrap().pop() {
            Some(before) => Box::new(Half { before, after }),
            None => after,
        }
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

struct Half {
    before: Box<dyn Snapshot>,
    after: Box<dyn Snapshot>,
}

impl Snapshot for Half {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.before.get(key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        self.after.scan(from, to)
    }
}

/// An engine of two writes, of which so many snapshots do not know the second in part.
async fn skewed(snapshots: usize) -> Engine {
    let engine = memory::new();
    let store = join(&engine, options()).await;
    put(&store, "a", "x").await;
    let before = (0..snapshots).map(|_| engine.snapshot()).collect();
    put(&store, "b", "x").await;
    store.close().await;
    Engine::new(Skewed { engine, before: Mutex::new(before) })
}

#[tokio::test]
async fn what_was_seen_in_part_is_read_again() {
    let store = join(&skewed(2).await, options()).await;
    assert_eq!(names(store.snapshot(&all()).iter()), ["a=2", "b=3"]);
    assert_eq!(put(&store, "c", "x").await, 4);
}

#[tokio::test]
async fn what_stays_so_is_a_hole() {
    let opened = Store::join(skewed(100).await, options(), peer()).await;
    assert!(matches!(opened, Err(OpenError::Hole { tip: 3, .. })), "{:?}", opened.map(|_| ()));
}
