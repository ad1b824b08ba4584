//! From full layers to tables: takes the oldest layer, makes a durable table of it, and then removes the files of the
//! journal that only repeat it.
//!
//! A thread does that, a step at a time; a simulation takes the steps itself. When merging the tables falls behind, it
//! waits, and in the end whoever writes waits for it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::journal::segments;
use super::layers::{Full, Layers, Task};
use super::system::System;
use super::tables::Tables;
use crate::EngineError;

/// How long after the last table it is looked whether merging has ended.
const SETTLING: Duration = Duration::from_millis(500);

pub(super) struct Flushing<S, T> {
    pub(super) layers: Arc<Layers>,
    pub(super) tables: T,
    pub(super) system: S,
    /// The directory of the journal.
    pub(super) journal: PathBuf,
}

impl<S: System, T: Tables> Flushing<S, T> {
    /// Runs until the engine is closed, or a layer cannot be written.
    pub(super) fn run(self) {
        let _end = Ending(&self.layers);
        while self.step(self.tables.is_unsettled().then_some(SETTLING)).is_continue() {}
    }

    /// Does what is to be done next, once there is something or there was nothing for so long.
    pub(super) fn step(&self, patience: Option<Duration>) -> ControlFlow<()> {
        match self.layers.next_task(patience) {
            Task::Flush(layer) => match self.flush(&layer) {
                Ok(()) => self.layers.flushed(),
                Err(error) => {
                    self.layers.fail(&error);
                    return ControlFlow::Break(());
                }
            },
            Task::Rest => self.release(),
            Task::End => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Lets the tables go that were merged into others, at a moment at which nobody looks at them.
    fn release(&self) {
        if let Some(now) = self.layers.unless_viewed(|| self.tables.moment()) {
            self.tables.release(now);
        }
    }

    fn flush(&self, layer: &Full) -> Result<(), EngineError> {
        self.tables.wait_for_merges(|| self.layers.has_ended())?;
        self.tables.ingest(&layer.pairs)?;
        self.release();
        segments::remove(&self.system, &self.journal, layer.file).map_err(EngineError::new)
    }
}

/// Says when the thread ends that makes tables: whoever writes would wait for it for ever.
struct Ending<'a>(&'a Layers);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(&EngineError::new("the thread that writes tables panicked"));
        }
    }
}
