//! The simulated network between a server and the engine that it shares: what gets through, late, twice or not at all.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex};

use crate::engine::{Acknowledged, Batch, Condition, Durability, Pair, Snapshot, Storage, Written};
use crate::{Engine, EngineError, Revision};

/// The network between a member and the engine.
#[derive(Clone)]
pub(super) struct Way(pub(super) Arc<Mutex<WayState>>);

pub(super) struct WayState {
    pub(super) engine: Engine,
    pub(super) random: StdRng,
    /// Of a hundred calls, so many meet a fault.
    pub(super) faults: u32,
    /// So many calls do not get through.
    pub(super) cut: u32,
    pub(super) late: Vec<(Condition, Batch)>,
}

impl WayState {
    fn is_cut(&mut self) -> bool {
        self.cut = self.cut.saturating_sub(1);
        self.cut > 0
    }
}

impl Storage for Way {
    fn write(&self, _: Batch, _: Durability) -> Result<(), EngineError> {
        Err(EngineError::new("a shared engine is written to under a condition"))
    }

    fn write_if(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        let mut way = self.0.lock().unwrap();
        if way.is_cut() {
            return Err(EngineError::new("cut"));
        }
        if way.random.random_range(0..100) >= way.faults {
            return way.engine.write_if(condition, batch);
        }
        match way.random.random_range(0..3) {
            0 => drop(way.engine.write_if(condition, batch)?),
            1 => way.late.push((condition.clone(), batch)),
            _ => {}
        }
        Err(EngineError::new("no answer"))
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let mut way = self.0.lock().unwrap();
        if way.is_cut() { Box::new(Unreachable) } else { way.engine.snapshot() }
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
        Ok(0)
    }
}

struct Unreachable;

impl Snapshot for Unreachable {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Err(EngineError::new("cut"))
    }

    fn scan<'a>(&'a self, _: &[u8], _: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        Box::new(std::iter::once(Err(EngineError::new("cut"))))
    }
}
