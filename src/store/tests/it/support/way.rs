//! The way of one server to an engine that several share, with its faults.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use store::engine::{Acknowledged, Batch, Condition, Durability, Snapshot, Storage, Written};
use store::{Engine, EngineError, Revision};

/// The way of one server to an engine that several share, with its faults.
#[derive(Clone)]
pub(crate) struct Way {
    engine: Engine,
    /// Nothing gets through.
    pub(crate) is_cut: Arc<AtomicBool>,
    /// What happens to the next conditional batches.
    pub(crate) faults: Arc<Mutex<VecDeque<Fault>>>,
    /// Batches that are still on their way.
    late: Arc<Mutex<Vec<(Condition, Batch)>>>,
}

/// What can happen to a batch whose writer is told that its outcome is unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is done.
    AnswerLost,
    /// It is not.
    BatchLost,
    /// It arrives when [`Way::deliver`] is called.
    BatchLate,
}

impl Way {
    pub(crate) fn to(engine: &Engine) -> Self {
        Self { engine: engine.clone(), is_cut: Arc::default(), faults: Arc::default(), late: Arc::default() }
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    /// Lets the late batches arrive, and says what became of them.
    pub(crate) fn deliver(&self) -> Vec<Written> {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        late.into_iter().map(|(condition, batch)| self.engine.write_if(&condition, batch).unwrap()).collect()
    }

    fn check(&self) -> Result<(), EngineError> {
        if self.is_cut.load(Ordering::SeqCst) { Err(EngineError::new("the way is cut")) } else { Ok(()) }
    }
}

impl Storage for Way {
    fn write(&self, _: Batch, _: Durability) -> Result<(), EngineError> {
        Err(EngineError::new("a shared engine is written to under a condition"))
    }

    fn write_if(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        self.check()?;
        let fault = self.faults.lock().unwrap().pop_front();
        let Some(fault) = fault else { return self.engine.write_if(condition, batch) };
        match fault {
            Fault::AnswerLost => drop(self.engine.write_if(condition, batch)?),
            Fault::BatchLost => {}
            Fault::BatchLate => self.late.lock().unwrap().push((condition.clone(), batch)),
        }
        Err(EngineError::new(format!("no answer: {fault:?}")))
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        match self.check() {
            Ok(()) => self.engine.snapshot(),
            Err(_) => Box::new(Nothing),
        }
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
        self.engine.size_in_bytes()
    }
}

/// What can be seen of an engine that cannot be reached.
struct Nothing;

impl Snapshot for Nothing {
    fn get(&self, _: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Err(EngineError::new("the way is cut"))
    }

    fn scan<'a>(&'a self, _: &[u8], _: &[u8]) -> Box<dyn Iterator<Item = store::engine::Pair> + 'a> {
        Box::new(std::iter::once(Err(EngineError::new("the way is cut"))))
    }
}
