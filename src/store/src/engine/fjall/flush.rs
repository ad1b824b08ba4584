//! From full layers to tables: a thread that takes the oldest layer, makes fjall write it as a table that is durable, and
//! then removes the files of the journal that only repeat it.
//!
//! It goes straight to the tables, past fjall's own journal and memtables, since everything is in our journal already.
//! When merging the tables falls behind, it waits, and in the end whoever writes waits for it.

use fjall::AbstractTree;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::journal::segments;
use super::layers::{Full, Layers, Task};
use super::tables::Tables;
use crate::EngineError;

/// Tables that wait to be merged, beyond which no more are made: merging has fallen behind.
pub(super) const TABLES: usize = 20;
/// How long nothing has to have been merged to say that nothing will be until fjall is asked.
const IDLE: Duration = Duration::from_secs(1);
/// How long after the last table it is looked whether merging has ended.
const SETTLING: Duration = Duration::from_millis(500);

pub(super) struct Flushing {
    pub(super) layers: Arc<Layers>,
    pub(super) tables: Tables,
    /// The directory of the journal.
    pub(super) journal: PathBuf,
}

impl Flushing {
    /// Runs until the engine is closed, or a layer cannot be written.
    pub(super) fn run(self) {
        loop {
            match self.layers.next_task(self.is_unsettled().then_some(SETTLING)) {
                Task::Flush(layer) => match self.flush(&layer) {
                    Ok(()) => self.layers.flushed(),
                    Err(error) => return self.layers.fail(&error),
                },
                Task::Rest => self.release(),
                Task::End => return,
            }
        }
    }

    /// Whether there are tables, or soon will be, that are only kept because somebody may have looked at them.
    fn is_unsettled(&self) -> bool {
        self.tables.keyspace.tree.version_free_list_len() > 0 || self.tables.database.active_compactions() > 0
    }

    /// Lets the tables go that were merged into others. fjall does that by itself when later merges end, and so keeps
    /// everything twice until then. Whoever looks later sees what is newer.
    fn release(&self) {
        let Some(seen) = self.layers.unless_viewed(|| self.tables.database.visible_seqno()) else { return };
        let mut versions = self.tables.keyspace.tree.get_version_history_lock();
        if let Err(error) = versions.maintenance(self.tables.keyspace.path(), seen) {
            tracing::warn!(%error, "tables that nobody needs are kept");
        }
    }

    fn flush(&self, layer: &Full) -> Result<(), EngineError> {
        self.wait_for_merges()?;
        let mut table = self.tables.keyspace.start_ingestion().map_err(EngineError::new)?;
        for (key, value) in &layer.pairs {
            match value {
                Some(value) => table.write(key.clone(), value.clone()),
                None => table.write_tombstone(key.clone()),
            }
            .map_err(EngineError::new)?;
        }
        table.finish().map_err(EngineError::new)?;
        self.release();
        segments::remove(&self.journal, layer.file).map_err(EngineError::new)
    }

    /// fjall tells nobody when it has merged tables, so this looks again and again; only while there are far too many, and
    /// no longer than merging goes on: fjall merges when it is asked, and each new table asks.
    fn wait_for_merges(&self) -> Result<(), EngineError> {
        let mut merging = Instant::now();
        loop {
            self.tables.check()?;
            if self.tables.keyspace.l0_table_count() < TABLES || self.layers.has_ended() {
                return Ok(());
            }
            if self.tables.database.active_compactions() > 0 {
                merging = Instant::now();
            } else if merging.elapsed() > IDLE {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
