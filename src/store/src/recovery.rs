//! From an engine to the state the store had: the current map, the tip, the horizon.
//!
//! Runs once when a store is opened, before anything can be read or written. It believes nothing it can check: the log
//! has to be dense from the horizon to the tip, every write in it has to have its version, every record has to carry the
//! right checksum, and the tip must not be older than what the engine is known to have made durable. It repairs nothing.
//! What it cannot see is said in the crate's documentation.

use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, ScopedJoinHandle};

use crate::cluster::ledger::{self, Tip};
use crate::current::Current;
use crate::engine::{Batch, Condition, Durability, Pair, Snapshot};
use crate::history::History;
use crate::record;
use crate::shared::Recovered;
use crate::snapshot::RESTORING_KEY;
use crate::{Engine, EngineError, Key, OpenError, Options, Revision};

/// The revision of a store that was never written to.
const FRESH: Revision = 1;

/// Reads and checks everything; blocks.
pub(crate) fn recover(engine: &Engine, options: &Options) -> Result<Recovered, OpenError> {
    let snapshot = engine.snapshot();
    let recovered = match number(&*snapshot, record::FORMAT_KEY)? {
        Some(record::FORMAT) => read(&*snapshot, options)?,
        Some(found) => return Err(OpenError::Format { found, supported: record::FORMAT }),
        None => begin(engine, &*snapshot)?,
    };
    match engine.acknowledged()? {
        Some(mark) if mark.revision > recovered.tip => Err(OpenError::Lost {
            recovered: recovered.tip,
            acknowledged: mark.revision,
            evidence: mark.evidence,
        }),
        _ => {
            // What came back will be seen, though it may never have been synced and its writers may not have been answered:
            // from now on it may not be lost. The engine was not changed before.
            engine.sync()?;
            engine.acknowledge(recovered.tip)?;
            Ok(recovered)
        }
    }
}

/// How often a shared engine is read before what contradicts itself is believed to do so.
const READINGS: usize = 3;

/// As [`recover`], for an engine that other servers may be writing to: the moment of one snapshot.
///
/// A snapshot of the development server is not quite a moment: what is committed in one phase while it is being read may show
/// in a part of it. Whatever is really wrong is still wrong in the next snapshot.
pub(crate) fn recover_shared(engine: &Engine, options: &Options) -> Result<Recovered, OpenError> {
    for _ in 1..READINGS {
        match recover_moment(engine, options) {
            Err(error @ (OpenError::Hole { .. } | OpenError::Lost { .. } | OpenError::Damaged(_))) => {
                tracing::warn!(%error, "the store is read again");
            }
            outcome => return outcome,
        }
    }
    recover_moment(engine, options)
}

fn recover_moment(engine: &Engine, options: &Options) -> Result<Recovered, OpenError> {
    loop {
        let snapshot = engine.snapshot();
        match number(&*snapshot, record::FORMAT_KEY)? {
            Some(record::FORMAT) => {
                let ledger = ledger::read(&*snapshot)?;
                // Before everything is read: of what is being removed some is missing.
                if let Some(departure) = ledger.departure.filter(|departure| departure.is_over) {
                    return Err(OpenError::Moved(departure));
                }
                let recovered = read(&*snapshot, options)?;
                return match ledger.tip.revision {
                    tip if tip == recovered.tip => Ok(recovered),
                    tip if tip < recovered.tip => {
                        Err(hole(&recovered, format!("a tip of {}", recovered.tip)))
                    }
                    tip => Err(OpenError::Lost {
                        recovered: recovered.tip,
                        acknowledged: tip,
                        evidence: "recorded with the newest batch".to_owned(),
                    }),
                };
            }
            Some(found) => return Err(OpenError::Format { found, supported: record::FORMAT }),
            None => begin_shared(engine, &*snapshot)?,
        }
    }
}

/// Makes an empty engine a store, unless another server is quicker.
fn begin_shared(engine: &Engine, snapshot: &dyn Snapshot) -> Result<(), OpenError> {
    check_empty(snapshot).map_err(|error| match error {
        OpenError::Damaged(found) => OpenError::Foreign(found),
        error => error,
    })?;
    let mut batch = Batch::default();
    batch.put(record::FORMAT_KEY, encode_number(record::FORMAT));
    batch.put(record::HORIZON_KEY, encode_number(FRESH));
    batch.put(ledger::TIP_KEY, Tip { revision: FRESH, ..Tip::default() }.encode());
    let absent = Condition { key: Bytes::from_static(record::FORMAT_KEY), expected: None };
    engine.write_if(&absent, batch)?;
    Ok(())
}

fn check_empty(snapshot: &dyn Snapshot) -> Result<(), OpenError> {
    let Some(pair) = snapshot.scan(b"", b"\xff").next() else { return Ok(()) };
    if snapshot.get(RESTORING_KEY)?.is_some() {
        return Err(OpenError::Unfinished);
    }
    let (name, _) = pair?;
    Err(OpenError::Damaged(format!("it has no format but a record {}", name.escape_ascii())))
}

/// Makes an empty engine a store. One that has lost its beginning is not empty, or is known to have held something.
fn begin(engine: &Engine, snapshot: &dyn Snapshot) -> Result<Recovered, OpenError> {
    check_empty(snapshot)?;
    if engine.acknowledged()?.is_none_or(|mark| mark.revision <= FRESH) {
        let mut batch = Batch::default();
        batch.put(record::FORMAT_KEY, encode_number(record::FORMAT));
        batch.put(record::HORIZON_KEY, encode_number(FRESH));
        engine.write(batch, Durability::Synced)?;
    }
    Ok(Recovered { current: Current::default(), tip: FRESH, horizon: FRESH, history_bytes: 0, time_ms: 0 })
}

fn read(snapshot: &dyn Snapshot, options: &Options) -> Result<Recovered, OpenError> {
    let horizon = number(snapshot, record::HORIZON_KEY)?
        .ok_or_else(|| OpenError::Damaged("its horizon is missing".to_owned()))?;
    let mut recovered =
        Recovered { current: Current::default(), tip: horizon, horizon, history_bytes: 0, time_ms: 0 };
    // Side by side, since how long this takes is how long a restart takes.
    let (logged, data) = thread::scope(|scope| {
        let data = scope.spawn(|| read_data(snapshot, options, horizon));
        (read_log(snapshot, options, &mut recovered), joined(data))
    });
    logged?;
    let data = data?;
    compare(&data, &recovered)?;
    recovered.current = data.current;
    Ok(recovered)
}

/// What a thread of a scope gave.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn read_log(snapshot: &dyn Snapshot, options: &Options, recovered: &mut Recovered) -> Result<(), OpenError> {
    let history = History { snapshot, options, tip: Revision::MAX };
    let read = history.log(recovered.horizon, |record| {
        recovered.tip = record.revision;
        recovered.time_ms = record.time_ms;
        recovered.history_bytes += record.cost();
        Ok(ControlFlow::Continue(()))
    });
    read.map_err(|error| hole(recovered, error.to_string()))
}

/// What the versions tell.
#[derive(Default)]
struct Data {
    current: Current,
    /// Versions that were written behind the horizon.
    written: u64,
    /// The newest revision of any version.
    newest: Revision,
}

/// Pairs that are handed from the thread that reads them to the one that decodes them.
const HANDFUL: usize = 256;
/// How many such handfuls may wait.
const HANDFULS: usize = 8;

/// Puts the newest version of each key into the current map and looks at all the others on the way.
fn read_data(snapshot: &dyn Snapshot, options: &Options, horizon: Revision) -> Result<Data, OpenError> {
    thread::scope(|scope| {
        let (hand, handed) = mpsc::sync_channel(HANDFULS);
        scope.spawn(move || hand_on(snapshot, &hand));
        let mut data = Data::default();
        let mut newest = None;
        for pair in handed.into_iter().flatten() {
            data.add(pair?, &mut newest, options, horizon)?;
        }
        Ok(data)
    })
}

/// Reads all versions. Ends early when nobody takes them any more, because something is wrong with one.
fn hand_on(snapshot: &dyn Snapshot, hand: &SyncSender<Vec<Pair>>) {
    let mut pairs = snapshot.scan(record::DATA.0, record::DATA.1);
    loop {
        let handful: Vec<_> = pairs.by_ref().take(HANDFUL).collect();
        if handful.is_empty() || hand.send(handful).is_err() {
            return;
        }
    }
}

impl Data {
    /// Takes the next version; `newest` is the key of the one before.
    fn add(
        &mut self,
        (name, bytes): (Bytes, Bytes),
        newest: &mut Option<Key>,
        options: &Options,
        horizon: Revision,
    ) -> Result<(), OpenError> {
        let damaged =
            || OpenError::Damaged(format!("the record {} is not what was written", name.escape_ascii()));
        let (path, revision) = record::parse_data_key(&name).ok_or_else(damaged)?;
        let version = record::decode_data(&bytes, revision).ok_or_else(damaged)?;
        self.newest = self.newest.max(revision);
        self.written += u64::from(revision > horizon);
        if newest.as_ref().is_some_and(|key| key.as_str() == path) {
            return Ok(());
        }
        let key = Key::parse(path).ok_or_else(damaged)?;
        *newest = Some(key.clone());
        if !version.deleted {
            self.current.insert(Arc::new(version.into_entry(key, revision, options)));
        }
        Ok(())
    }
}

/// Whether each write of the log has its version: revisions are unique, so that equal numbers say so.
fn compare(data: &Data, recovered: &Recovered) -> Result<(), OpenError> {
    if data.newest > recovered.tip {
        return Err(hole(recovered, format!("the log record of revision {}", data.newest)));
    }
    let (written, logged) = (data.written, recovered.tip - recovered.horizon);
    match logged.cmp(&written) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(hole(recovered, format!("the data of {} writes", logged - written))),
        Ordering::Less => {
            Err(OpenError::Damaged(format!("{} versions have another's revision", written - logged)))
        }
    }
}

fn hole(recovered: &Recovered, missing: String) -> OpenError {
    OpenError::Hole { missing, horizon: recovered.horizon, tip: recovered.tip }
}

/// Reads what [`encode_number`] wrote.
pub(crate) fn number(snapshot: &dyn Snapshot, key: &[u8]) -> Result<Option<u64>, EngineError> {
    let Some(bytes) = snapshot.get(key)? else { return Ok(None) };
    let bytes: [u8; 8] = bytes.as_ref().try_into().map_err(EngineError::new)?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

/// As a number is stored under `m/`.
pub(crate) fn encode_number(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}
