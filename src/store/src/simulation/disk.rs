//! A simulated disk under the embedded engine: the journal's newest file byte for byte, the tables as a map, the mark as a
//! number.
//!
//! What was written reaches the page cache; what was synced survives a power cut, the rest does by chance, a sector at a
//! time. After an ending the production code examines the journal's bytes, in a real file. What it decides, and nothing
//! else, is what the store finds; as there, opening changes nothing, and the first sync or write adopts what was found.
//! Faults strike at named points, when they are armed.
//!
//! Not simulated: that a full layer becomes a table. Here that happens at once and completely, between two writes, so that
//! there is never more than one file of the journal and no ending within a rotation, within the writing of a table, or
//! between a table and the removal of its file; `engine/fjall/tests.rs` has those.

use bytes::Bytes;
use imbl::OrdMap;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fs;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SimulatedTime;
use crate::engine::fjall::journal::{encoding, examine};
use crate::engine::fjall::mark::Mark;
use crate::engine::{Acknowledged, Batch, Change, Durability, Snapshot, Storage};
use crate::record::LogRecord;
use crate::{EngineError, OpenError, Revision};

/// What may survive of what was not synced is decided for so many bytes at a time.
const SECTOR: usize = 512;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// The process dies before a batch is written.
    BeforeWrite,
    /// The process dies when a part of a batch is written.
    InWrite,
    /// The process dies when a batch is written and not synced.
    BeforeSync,
    /// The process dies when a batch is synced and the mark is not written.
    AfterSync,
    /// The process dies when the mark is written and nobody has been told.
    AfterMark,
    /// The sync fails; what was written may be there or not.
    SyncFails,
    /// A part of a batch is written, then there is no space.
    DiskIsFull,
    /// The sync takes its time.
    SyncIsSlow,
    /// The process dies before it adopts what it found.
    BeforeAdoption,
    /// The process dies when it has adopted what it found and the mark is not written.
    AfterAdoption,
}

/// Those that strike while the store serves.
pub(super) const POINTS: [Point; 8] = [
    Point::BeforeWrite,
    Point::InWrite,
    Point::BeforeSync,
    Point::AfterSync,
    Point::AfterMark,
    Point::SyncFails,
    Point::DiskIsFull,
    Point::SyncIsSlow,
];

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// What it had written is there.
    Killed,
    /// The machine goes with it.
    PowerCut,
}

/// What unwinds through the process that dies.
pub(super) struct Crash;

#[derive(Clone)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Clone)]
pub(super) struct State {
    time: SimulatedTime,
    random: StdRng,
    /// In tables, which are durable.
    flushed: OrdMap<Bytes, Bytes>,
    /// The newest journal as it was written.
    journal: Vec<u8>,
    /// So much of it is durable.
    synced: usize,
    /// Its whole batches.
    batches: Vec<Written>,
    /// The name of its file.
    number: u64,
    /// What readers see.
    present: OrdMap<Bytes, Bytes>,
    mark: Option<Revision>,
    /// What the journal as it was found proves to have been durable.
    proven: Option<Revision>,
    /// Whether the journal is this process's own.
    is_adopted: bool,
    /// What the mark's file may hold after a power cut instead.
    older_marks: Vec<Option<Revision>>,
    /// A fault, and how many calls come before it.
    armed: Option<(Point, u32)>,
    /// Whether it says that it has synced and has not.
    pub(super) lies: bool,
    /// Where groups end: a store is never at any other revision.
    ends: BTreeSet<Revision>,
}

#[derive(Clone)]
struct Written {
    start: usize,
    end: usize,
    changes: Vec<Change>,
}

impl Disk {
    pub(super) fn new(seed: u64, time: SimulatedTime) -> Self {
        let state = State {
            time,
            random: StdRng::seed_from_u64(seed),
            flushed: OrdMap::new(),
            journal: Vec::new(),
            synced: 0,
            batches: Vec::new(),
            number: 0,
            present: OrdMap::new(),
            mark: None,
            proven: None,
            is_adopted: true,
            older_marks: vec![None],
            armed: None,
            lies: false,
            ends: BTreeSet::from([1]),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, point: Point, calls_before: u32) {
        self.state().armed = Some((point, calls_before));
    }

    pub(super) fn is_end(&self, revision: Revision) -> bool {
        self.state().ends.contains(&revision)
    }

    /// As fjall does by itself: the journal is complete, everything goes into tables, a new journal is begun.
    pub(super) fn rotate(&self) {
        let mut state = self.state();
        state.flushed = state.present.clone();
        state.number += 1;
        (state.journal, state.batches, state.synced) = (Vec::new(), Vec::new(), 0);
    }

    /// The process has ended and another one opens the disk, in which a bit of the journal may have flipped.
    pub(super) fn reopen(&self, ending: Ending, flipped: Option<usize>) -> Result<(), OpenError> {
        let directory = tempfile::tempdir().unwrap();
        let mut state = self.state();
        state.armed = None;
        let mut left = state.left_by(ending);
        if let Some(at) = flipped {
            left[at] ^= 1 << (at % 8);
        }
        // There are zeros ahead of what is written.
        left.resize(left.len() + 3 * SECTOR, 0);
        let path = state.lay_out(directory.path().join("journal"), &left);
        let mark = Mark::open(&directory.path().join("acknowledged")).unwrap();
        if let Some(revision) = state.mark {
            mark.write(revision).unwrap();
        }
        let examined = examine(&directory.path().join("journal"), &mark);
        let found = fs::read(path).unwrap();
        assert!(found == left, "the evidence is as it was");
        assert_eq!(mark.read().unwrap(), state.mark, "and so is the mark");
        state.proven = examined?.proven;
        state.take(found, ending);
        Ok(())
    }

    /// A place in the journal that a bit may flip in.
    pub(super) fn any_byte(&self) -> Option<usize> {
        let mut state = self.state();
        let end = state.end();
        (end > 0).then(|| state.random.random_range(0..end))
    }
}

impl State {
    fn strikes(&mut self) -> Option<Point> {
        let (point, calls_before) = self.armed?;
        if calls_before > 0 {
            self.armed = Some((point, calls_before - 1));
            return None;
        }
        self.armed = None;
        Some(point)
    }

    /// The journal's bytes after an ending; the mark becomes what is left of it.
    fn left_by(&mut self, ending: Ending) -> Vec<u8> {
        let mut left = self.journal.clone();
        if ending == Ending::Killed {
            return left;
        }
        let candidates = self.older_marks.len() + 1;
        let survivor = self.random.random_range(0..candidates);
        self.mark = self.older_marks.get(survivor).copied().unwrap_or(self.mark);
        self.older_marks = vec![self.mark];
        // All, none, or one by one.
        let chance = [0.0, 0.5, 0.9, 1.0][self.random.random_range(0..4)];
        for at in (self.synced..left.len()).step_by(SECTOR) {
            let end = (at + SECTOR).min(left.len());
            if !self.random.random_bool(chance) {
                left[at..end].fill(0);
            }
        }
        left
    }

    fn lay_out(&self, directory: PathBuf, journal: &[u8]) -> PathBuf {
        fs::create_dir(&directory).unwrap();
        let path = directory.join(format!("{}.jnl", self.number));
        fs::write(&path, journal).unwrap();
        path
    }

    /// Reads what was found: whole batches up to the first that is not. Nothing becomes more durable by that.
    fn take(&mut self, found: Vec<u8>, ending: Ending) {
        let is_whole = |batch: &&Written| {
            found.len() >= batch.end && found[batch.start..batch.end] == self.journal[batch.start..batch.end]
        };
        let whole = self.batches.iter().take_while(is_whole).count();
        self.batches.truncate(whole);
        self.journal = found;
        let filled = self.journal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.journal.truncate(filled.max(self.end()));
        // What a power cut leaves is on the disk.
        self.synced = if ending == Ending::PowerCut { self.journal.len() } else { self.synced };
        self.synced = self.synced.min(self.journal.len());
        self.is_adopted = false;
        self.present = self.flushed.clone();
        for batch in &self.batches {
            apply(&mut self.present, &batch.changes);
        }
    }

    /// The end of the whole batches.
    fn end(&self) -> usize {
        self.batches.last().map_or(0, |batch| batch.end)
    }

    /// What was found is written anew, durably, without what is torn.
    fn adopt(&mut self) {
        if !std::mem::replace(&mut self.is_adopted, true) {
            self.journal.truncate(self.end());
            self.synced = if self.lies { self.synced.min(self.journal.len()) } else { self.journal.len() };
        }
    }

    /// Writes a part of a batch.
    fn tear(&mut self, bytes: &[u8]) {
        let written = self.random.random_range(0..bytes.len());
        self.journal.extend_from_slice(&bytes[..written]);
    }

    fn append(&mut self, bytes: &[u8], changes: &[Change]) {
        let start = self.journal.len();
        self.journal.extend_from_slice(bytes);
        self.batches.push(Written { start, end: self.journal.len(), changes: changes.to_vec() });
        self.ends.extend(last_logged(changes));
    }
}

fn apply(pairs: &mut OrdMap<Bytes, Bytes>, changes: &[Change]) {
    for change in changes.iter().cloned() {
        match change {
            Change::Put(key, value) => pairs.insert(key, value),
            Change::Remove(key) => pairs.remove(&key),
        };
    }
}

fn last_logged(changes: &[Change]) -> Option<Revision> {
    let logged = changes.iter().filter_map(|change| match change {
        Change::Put(_, value) => LogRecord::decode(value),
        Change::Remove(_) => None,
    });
    logged.map(|record| record.revision).max()
}

fn die(state: MutexGuard<'_, State>) -> ! {
    drop(state);
    // Not a panic that anybody should read about.
    resume_unwind(Box::new(Crash))
}

impl Storage for Disk {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut state = self.state();
        let strikes = state.strikes();
        state.adopt();
        let bytes = encoding::encode(&batch.changes, state.batches.len() as u64, 1);
        match strikes {
            Some(Point::BeforeWrite) => die(state),
            Some(Point::InWrite) => {
                state.tear(&bytes);
                die(state)
            }
            Some(Point::DiskIsFull) => {
                state.tear(&bytes);
                return Err(EngineError::new("no space left on device"));
            }
            _ => state.append(&bytes, &batch.changes),
        }
        match strikes {
            Some(Point::BeforeSync) => die(state),
            Some(Point::SyncFails) => return Err(EngineError::new("the sync failed")),
            Some(Point::SyncIsSlow) => state.time.pass(1500),
            // The mark comes next.
            Some(Point::AfterMark) => state.armed = Some((Point::AfterMark, 0)),
            _ => {}
        }
        apply(&mut state.present, &batch.changes);
        if durability == Durability::Synced && !state.lies {
            state.synced = state.journal.len();
        }
        if strikes == Some(Point::AfterSync) { die(state) } else { Ok(()) }
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        Box::new(self.state().present.clone())
    }

    fn acknowledge(&self, revision: Revision) -> Result<(), EngineError> {
        let mut state = self.state();
        let older = state.mark;
        state.older_marks.push(older);
        state.mark = Some(revision);
        if state.armed == Some((Point::AfterMark, 0)) { die(state) } else { Ok(()) }
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        let durable = |revision| Acknowledged { revision, evidence: "the simulated disk".to_owned() };
        let state = self.state();
        Ok(state.mark.max(state.proven).map(durable))
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut state = self.state();
        if !state.is_adopted && state.armed == Some((Point::BeforeAdoption, 0)) {
            die(state);
        }
        state.adopt();
        if !state.lies {
            state.synced = state.journal.len();
        }
        state.older_marks.clear();
        if state.armed == Some((Point::AfterAdoption, 0)) { die(state) } else { Ok(()) }
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        Ok(self.state().journal.len() as u64)
    }
}
