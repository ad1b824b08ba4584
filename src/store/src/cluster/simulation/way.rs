//! The simulated network between a server and the engine that it shares: what gets through, late, twice or not at all.

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex, MutexGuard};

use super::server::SimulatedTime;
use crate::engine::{Acknowledged, Batch, Change, Condition, Durability, Pair, Snapshot, Storage, Written};
use crate::{Engine, EngineError, Revision};

/// How long a call may go without an answer.
const SILENCE_MS: u64 = 4000;

/// The network between a member and the engine.
#[derive(Clone)]
pub(super) struct Way(Arc<Mutex<WayState>>);

pub(super) struct WayState {
    engine: Engine,
    time: SimulatedTime,
    random: StdRng,
    /// Of a hundred batches, so many meet a fault.
    pub(super) faults: u32,
    /// So many calls do not get through.
    pub(super) cut: u32,
    /// Nothing gets through, and nothing says so.
    pub(super) is_silent: bool,
    /// Of so many batches the first answer is lost.
    pub(super) unanswered: u32,
    /// Batches that are still on their way.
    pub(super) late: Vec<(Condition, Batch)>,
}

impl Way {
    pub(super) fn new(engine: Engine, time: SimulatedTime, random: StdRng) -> Self {
        let (faults, cut, is_silent, unanswered, late) = (0, 0, false, 0, Vec::new());
        let state = WayState { engine, time, random, faults, cut, is_silent, unanswered, late };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, WayState> {
        self.0.lock().unwrap()
    }
}

impl WayState {
    fn is_cut(&mut self) -> bool {
        self.cut = self.cut.saturating_sub(1);
        self.cut > 0 || self.is_silent
    }

    /// Nothing came back: some calls fail at once, others when nobody waits any more.
    fn no_answer(&mut self) -> EngineError {
        if self.is_silent {
            self.time.pass(SILENCE_MS);
        } else if self.random.random_bool(0.1) {
            self.time.pass(self.random.random_range(0..=SILENCE_MS));
        }
        EngineError::new("no answer")
    }

    /// The answer is lost, and what lies between sends the batch again. That is refused, by the first one if by nothing else;
    /// a contended batch is known again.
    fn send_twice(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        let is_known = batch.is_contended;
        let written = self.engine.write_if(condition, batch)?;
        Ok(if is_known { written } else { Written::Refused })
    }

    /// Whether one of the reads of a snapshot fails.
    fn fails_to_read(&mut self) -> bool {
        self.is_cut() || self.random.random_range(0..800) < self.faults
    }
}

impl Storage for Way {
    fn write(&self, _: Batch, _: Durability) -> Result<(), EngineError> {
        Err(EngineError::new("a shared engine is written to under a condition"))
    }

    fn write_if(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        let mut way = self.state();
        if way.is_cut() {
            return Err(way.no_answer());
        }
        if way.unanswered > 0 {
            way.unanswered -= 1;
            return way.send_twice(condition, batch);
        }
        if way.random.random_range(0..100) >= way.faults {
            return way.engine.write_if(condition, batch);
        }
        match way.random.random_range(0..5) {
            0 => drop(way.engine.write_if(condition, batch)?),
            1 => way.late.push((condition.clone(), batch)),
            2 => {
                way.late.push((condition.clone(), again(&batch)));
                way.engine.write_if(condition, batch)?;
            }
            3 => return way.send_twice(condition, batch),
            _ => {}
        }
        Err(way.no_answer())
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        let mut way = self.state();
        let snapshot = if way.is_cut() { Err(way.no_answer()) } else { Ok(way.engine.snapshot()) };
        Box::new(Afar { way: self.clone(), snapshot })
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

/// A batch that arrives twice.
fn again(batch: &Batch) -> Batch {
    let changes: Vec<Change> = batch.changes.clone();
    Batch { changes, is_contended: batch.is_contended }
}

/// A snapshot of which each read is a journey.
struct Afar {
    way: Way,
    snapshot: Result<Box<dyn Snapshot>, EngineError>,
}

impl Afar {
    fn reach(&self) -> Result<&dyn Snapshot, EngineError> {
        let mut way = self.way.state();
        match &self.snapshot {
            Ok(snapshot) if !way.fails_to_read() => Ok(&**snapshot),
            Ok(_) => Err(way.no_answer()),
            // The moment could not be had, which nobody waits for again.
            Err(error) => Err(EngineError::new(error.to_string())),
        }
    }
}

impl Snapshot for Afar {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.reach()?.get(key)
    }

    fn get_all(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.reach()?.get_all(keys)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        match self.reach() {
            Ok(snapshot) => snapshot.scan(from, to),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}
