//! Simulated tables: a map, which a layer changes at once, durably and whole, as fjall says of its ingestion.
//!
//! A snapshot is of a moment. Those that were released are gone: whoever still looks at one is found out.

use bytes::Bytes;
use imbl::OrdMap;

use super::disk::Disk;
use crate::EngineError;
use crate::engine::fjall::tables::Tables;
use crate::engine::{Pair, Snapshot};

/// What the tables are on the disk.
#[derive(Clone, Default)]
pub(super) struct Stack {
    pairs: OrdMap<Bytes, Bytes>,
    moment: u64,
    /// Earlier moments cannot be looked at any more.
    released: u64,
}

#[derive(Clone)]
pub(super) struct SimulatedTables(pub(super) Disk);

impl Tables for SimulatedTables {
    type Snapshot = Seen;

    fn snapshot(&self) -> Seen {
        let Stack { pairs, moment, .. } = self.0.state().tables.clone();
        Seen { tables: self.clone(), pairs, moment }
    }

    fn ingest(&self, layer: &OrdMap<Bytes, Option<Bytes>>) -> Result<(), EngineError> {
        let ingested = self.0.ingest(|tables| {
            for (key, value) in layer {
                match value {
                    Some(value) => tables.pairs.insert(key.clone(), value.clone()),
                    None => tables.pairs.remove(key),
                };
            }
            tables.moment += 1;
        });
        ingested.map_err(EngineError::new)
    }

    fn wait_for_merges(&self, _: impl Fn() -> bool) -> Result<(), EngineError> {
        Ok(())
    }

    fn settle(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn is_unsettled(&self) -> bool {
        true
    }

    fn moment(&self) -> u64 {
        self.0.state().tables.moment
    }

    fn release(&self, before: u64) {
        let mut state = self.0.state();
        state.tables.released = state.tables.released.max(before);
    }
}

pub(super) struct Seen {
    tables: SimulatedTables,
    pairs: OrdMap<Bytes, Bytes>,
    moment: u64,
}

impl Seen {
    fn check(&self) {
        let released = self.tables.0.state().tables.released;
        assert!(self.moment >= released, "tables were let go at which somebody looks");
    }
}

impl Snapshot for Seen {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.check();
        Snapshot::get(&self.pairs, key)
    }

    fn scan<'a>(&'a self, from: &[u8], to: &[u8]) -> Box<dyn Iterator<Item = Pair> + 'a> {
        self.check();
        self.pairs.scan(from, to)
    }
}
