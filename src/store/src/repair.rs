//! The deliberate way on from a store that has lost something: what is whole is kept, and a new history begins.
//!
//! Only on an operator's word. The newest whole version of each key stays, everything else goes: the log, older versions,
//! what is damaged. An object whose newest version was lost is as it was before; one whose deletion was lost is there
//! again. The new history begins far above every revision that the store is known to have had, so that no client takes
//! what it remembers for the present. Can be repeated when it was cut short.

use bytes::Bytes;

use crate::beginning::beginning;
use crate::engine::{Batch, Durability};
use crate::record::{self, LogRecord};
use crate::recovery::{encode_number, number};
use crate::{Clock, Engine, EngineError, OpenError, Revision, SystemClock, inspection};

/// Records removed in one batch.
const STRETCH: usize = 512;

/// What a repair did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The newest revision of which anything was found.
    pub found: Revision,
    /// The revision that the store is at now; its history begins there.
    pub revision: Revision,
    /// Objects that it has.
    pub objects: u64,
    /// Records that were not what was written; they are gone.
    pub damaged: u64,
    /// Revisions behind the newest that was found, of which is known that they were written.
    pub missing: u64,
}

/// Makes an engine a store again, of what is whole in it. `known` is a revision that it is known to have had; blocks.
///
/// # Errors
/// When the engine cannot be read or written; it can be tried again. [`OpenError::Unfinished`] where a part of a snapshot would
/// become a store: the snapshot is whole.
pub(crate) fn repair(engine: &Engine, known: Revision) -> Result<Repaired, OpenError> {
    let snapshot = engine.snapshot();
    if inspection::is_unfinished(&*snapshot)? {
        return Err(OpenError::Unfinished);
    }
    let horizon = number(&*snapshot, record::HORIZON_KEY)?.unwrap_or_default();
    let mut repaired = Repaired { found: 1, revision: 0, objects: 0, damaged: 0, missing: 0 };
    let mut superfluous = Superfluous { engine, batch: Batch::default() };
    for pair in snapshot.scan(b"l/", b"l0") {
        let (name, bytes) = pair?;
        match LogRecord::decode(&bytes) {
            Some(record) => repaired.found = repaired.found.max(record.revision),
            None => repaired.damaged += 1,
        }
        superfluous.add(name)?;
    }
    // Newest first within a key: the first whole version decides.
    let mut decided: Option<String> = None;
    for pair in snapshot.scan(record::DATA.0, record::DATA.1) {
        let (name, bytes) = pair?;
        let parsed = record::parse_data_key(&name).filter(|(path, _)| crate::Key::parse(path).is_some());
        let version = parsed.and_then(|(_, revision)| record::decode_data(&bytes, revision));
        let (Some((path, revision)), Some(version)) = (parsed, version) else {
            repaired.damaged += 1;
            superfluous.add(name.clone())?;
            continue;
        };
        repaired.found = repaired.found.max(revision);
        let is_newest = decided.as_deref() != Some(path);
        decided = Some(path.to_owned());
        if is_newest && !version.deleted {
            repaired.objects += 1;
        } else {
            superfluous.add(name.clone())?;
        }
    }
    superfluous.flush()?;
    let acknowledged = engine.acknowledged()?.map_or(0, |mark| mark.revision);
    let found = repaired.found.max(horizon);
    let newest = found.max(known).max(acknowledged);
    repaired.missing = newest - found;
    repaired.revision = beginning(newest, SystemClock.now());
    let mut batch = Batch::default();
    batch.put(record::FORMAT_KEY, encode_number(record::FORMAT));
    batch.put(record::HORIZON_KEY, encode_number(repaired.revision));
    engine.write(batch, Durability::Synced)?;
    engine.acknowledge(repaired.revision)?;
    engine.sync()?;
    Ok(repaired)
}

/// Records that go, a stretch at a time.
struct Superfluous<'a> {
    engine: &'a Engine,
    batch: Batch,
}

impl Superfluous<'_> {
    fn add(&mut self, name: Bytes) -> Result<(), EngineError> {
        self.batch.remove(name);
        if self.batch.changes.len() == STRETCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        self.engine.write(std::mem::take(&mut self.batch), Durability::Deferred)
    }
}
