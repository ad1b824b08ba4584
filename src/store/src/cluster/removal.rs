//! A state in a shared engine that is removed for good, by an operator who does not want it any more.
//!
//! ```text
//! look ──(beats pass)──► claim ──► step, step, … ──► nothing is left
//! ```
//!
//! Time shows that no server is alive: an owner beats, and a follower that misses the beats takes over. What makes it safe is
//! the claim: the tip is sealed under the condition that it is what was looked at first, so whoever is alive after all has
//! either moved it, and nothing is removed, or writes nothing from then on and says why. The records go in bounded batches,
//! each under the condition that the claim stands, those that say what this is at the very end: broken off anywhere, it is no
//! store that opens, and the removal can be begun again. Keys that begin with the same prefix and are not a store's
//! records are never touched; where another store's keys lie among them, nothing is.

use bytes::Bytes;
use std::time::Duration;

use super::departure::{DEPARTURE_KEY, Departure};
use super::ledger::{self, Ledger, Standing, TIP_KEY, Tip};
use crate::engine::{Batch, Condition, Snapshot, Written};
use crate::record::{self, LogRecord};
use crate::recovery::encode_number;
use crate::snapshot::RESTORING_KEY;
use crate::{Engine, EngineError, Key, Revision};

/// Records removed at once: a transaction of moments.
const STRETCH: usize = 512;
/// Where a store's records are.
const RECORDS: [(&[u8], &[u8]); 3] = [record::DATA, (b"l/", b"l0"), (b"m/", b"m0")];
/// The records that go last, together: what says that there is something, and that it is being removed.
const LAST: [&[u8]; 6] =
    [record::FORMAT_KEY, record::HORIZON_KEY, TIP_KEY, ledger::OWNER_KEY, DEPARTURE_KEY, RESTORING_KEY];
/// What every store has, by the end of its keys: where one of these is in the midst of the records, they are another's.
const SIGNS: [&[u8]; 3] = [record::FORMAT_KEY, TIP_KEY, RESTORING_KEY];

/// What there is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// The newest revision; `None` where a restore, or a move into it, was not finished.
    pub revision: Option<Revision>,
    /// Where the state has gone, or that its removal was begun.
    pub departure: Option<Departure>,
    /// Records of whatever kind.
    pub records: u64,
    /// Bytes of the records, their keys without the prefix.
    pub bytes: u64,
}

/// Why it is not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemovalError {
    /// A server writes to it, or whoever restores it does.
    #[error("it is in use: {0}. Nothing was removed")]
    InUse(String),
    /// It is on its way elsewhere, and what is here is needed for that.
    #[error("its {0}. Nothing was removed")]
    Leaving(Departure),
    /// Another store's keys begin with this one's prefix and then like its records.
    #[error(
        "the keys of another store, which begin with {0:?} behind this prefix, lie among its records. Nothing was removed"
    )]
    Mixed(String),
    /// Somebody else removes it, or uses it, since.
    #[error("somebody else has begun to write to it meanwhile: look what is there now")]
    Overtaken,
    /// The engine failed; it can be begun again.
    #[error("the store's engine failed: {0}; what is left can be removed by the same command")]
    Engine(EngineError),
}

impl From<EngineError> for RemovalError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// The removal of a state; blocks.
pub struct Removal {
    engine: Engine,
    remains: Remains,
    /// What was found first, and has to be there still when it is claimed.
    found: Mark,
    /// The claim, once it stands.
    claim: Option<Condition>,
    /// What lies before this is gone, but for the last records.
    from: Bytes,
}

/// What changes whenever somebody writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mark {
    /// Of a store.
    tip: Option<Bytes>,
    /// Of one that is being made.
    restoring: Option<Bytes>,
}

impl Mark {
    fn read(snapshot: &dyn Snapshot) -> Result<Self, EngineError> {
        let keys = [TIP_KEY, RESTORING_KEY].map(Bytes::from_static);
        let mut values = snapshot.get_all(&keys)?;
        let restoring = values.pop().flatten();
        Ok(Self { tip: values.pop().flatten(), restoring })
    }
}

impl Removal {
    /// How long has to pass between [`Removal::look`] and [`Removal::claim`]: longer than an owner is silent before it gives
    /// up or somebody takes over from it.
    pub const BEATS: Duration = Duration::from_secs(16);

    /// Looks at what is there, all of it; `None` where there is nothing.
    ///
    /// # Errors
    /// [`RemovalError::Leaving`], [`RemovalError::Mixed`], or the engine fails.
    pub fn look(engine: Engine) -> Result<Option<Self>, RemovalError> {
        let snapshot = engine.snapshot();
        let found = Mark::read(&*snapshot)?;
        if found == Mark::default() {
            return Ok(None);
        }
        let ledger = found.tip.is_some().then(|| ledger::read(&*snapshot)).transpose()?;
        let (revision, departure) = match ledger {
            Some(Ledger { tip, departure, .. }) => (Some(tip.revision), departure),
            None => (None, None),
        };
        if let Some(departure) = departure.as_ref().filter(|departure| !departure.is_over) {
            return Err(RemovalError::Leaving(departure.clone()));
        }
        let mut remains = Remains { revision, departure, records: 0, bytes: 0 };
        remains.count(&*snapshot)?;
        let from = Bytes::from_static(RECORDS[0].0);
        Ok(Some(Self { engine, remains, found, claim: None, from }))
    }

    /// What was found.
    #[must_use]
    pub fn remains(&self) -> &Remains {
        &self.remains
    }

    /// Whether nobody can be alive, since the state has gone or its removal was begun: then no time has to pass.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.remains.departure.is_some()
    }

    /// From here on no server writes to it, and none opens it.
    ///
    /// # Errors
    /// [`RemovalError::InUse`] where anything was written since [`Removal::look`], or the engine fails.
    pub fn claim(&mut self) -> Result<(), RemovalError> {
        let snapshot = self.engine.snapshot();
        if Mark::read(&*snapshot)? != self.found {
            return Err(RemovalError::InUse(self.user(&*snapshot)?));
        }
        let mut batch = Batch { is_contended: true, ..Batch::default() };
        let (found, claimed) = match &self.found.tip {
            Some(_) => claim_store(&*snapshot, &mut batch)?,
            None => claim_unfinished(self.found.restoring.clone(), &mut batch),
        };
        match self.engine.write_if(&found, batch)? {
            Written::Done => {
                self.claim = Some(claimed);
                Ok(())
            }
            Written::Refused => Err(RemovalError::InUse("it was written to at this moment".to_owned())),
        }
    }

    /// Who has it in use, as far as that can be told.
    fn user(&self, snapshot: &dyn Snapshot) -> Result<String, EngineError> {
        if Mark::read(snapshot)?.tip.is_none() {
            return Ok("a snapshot is being restored into it, or another state moved".to_owned());
        }
        let owner = ledger::read(snapshot)?.owner;
        let owner =
            owner.map_or_else(|| "a server".to_owned(), |owner| format!("the server at {}", owner.address));
        Ok(format!("{owner} is alive and orders its writes; stop all of its servers"))
    }

    /// Removes the next records; gives how many those were, 0 when nothing is left.
    ///
    /// # Errors
    /// [`RemovalError::Overtaken`], also where it was not claimed, or the engine fails.
    pub fn step(&mut self) -> Result<u64, RemovalError> {
        let Some(claim) = &self.claim else { return Err(RemovalError::Overtaken) };
        let snapshot = self.engine.snapshot();
        let (mut names, behind) = next(&*snapshot, &self.from)?;
        if names.is_empty() {
            names = present(&*snapshot, &LAST)?;
        }
        if names.is_empty() {
            return Ok(0);
        }
        // What is refused was not done then.
        let mut batch = Batch { is_contended: true, ..Batch::default() };
        names.iter().for_each(|name| batch.remove(name.clone()));
        match self.engine.write_if(claim, batch)? {
            Written::Done => {
                self.from = behind;
                Ok(names.len() as u64)
            }
            Written::Refused => Err(RemovalError::Overtaken),
        }
    }
}

/// A new epoch that nobody owns: to an owner that is alive after all it is as if another had taken over. What has to hold
/// for it, and holds from then on.
fn claim_store(snapshot: &dyn Snapshot, batch: &mut Batch) -> Result<(Condition, Condition), EngineError> {
    let tip = ledger::read(snapshot)?.tip;
    let claimed = Tip { epoch: tip.epoch + 1, standing: Standing::Sealed, beat: 0, ..tip };
    batch.put(TIP_KEY, claimed.encode());
    batch.put(ledger::epoch_key(claimed.epoch), encode_number(tip.revision));
    batch.put(DEPARTURE_KEY, Departure::removal().encode());
    Ok((tip.condition(), claimed.condition()))
}

/// Whoever restores writes under the condition that the record is as they left it.
fn claim_unfinished(found: Option<Bytes>, batch: &mut Batch) -> (Condition, Condition) {
    let own: [u8; 16] = rand::random();
    let own = Bytes::copy_from_slice(&own);
    batch.put(RESTORING_KEY, own.clone());
    let condition = |expected| Condition { key: Bytes::from_static(RESTORING_KEY), expected };
    (condition(found), condition(Some(own)))
}

impl Remains {
    fn count(&mut self, snapshot: &dyn Snapshot) -> Result<(), RemovalError> {
        for (from, to) in RECORDS {
            for pair in snapshot.scan(from, to) {
                let (name, value) = pair?;
                if let Some(other) = sign_of_another(&name, &value) {
                    return Err(RemovalError::Mixed(other));
                }
                if is_record(&name) {
                    self.records += 1;
                    self.bytes += (name.len() + value.len()) as u64;
                }
            }
        }
        Ok(())
    }
}

/// The next records from one on, but for the last ones, and what lies behind them.
fn next(snapshot: &dyn Snapshot, from: &[u8]) -> Result<(Vec<Bytes>, Bytes), EngineError> {
    let mut names = Vec::new();
    for (begin, end) in RECORDS.iter().filter(|(_, end)| from < *end) {
        for pair in snapshot.scan(from.max(begin), end) {
            let (name, _) = pair?;
            if names.len() == STRETCH {
                return Ok((names, name));
            }
            if is_record(&name) && !LAST.contains(&&*name) {
                names.push(name);
            }
        }
    }
    Ok((names, Bytes::from_static(RECORDS[RECORDS.len() - 1].1)))
}

fn present(snapshot: &dyn Snapshot, names: &[&'static [u8]]) -> Result<Vec<Bytes>, EngineError> {
    let names: Vec<_> = names.iter().copied().map(Bytes::from_static).collect();
    let values = snapshot.get_all(&names)?;
    Ok(names.into_iter().zip(values).filter_map(|(name, value)| value.map(|_| name)).collect())
}

/// Whether a store names its records so.
fn is_record(name: &[u8]) -> bool {
    let is_log = name.starts_with(RECORDS[1].0) && name.len() == record::log_key(0).len();
    let is_epoch = name.len() == ledger::epoch_key(0).len() && name.starts_with(b"m/epoch/");
    is_data(name) || is_log || is_epoch || LAST.contains(&name)
}

fn is_data(name: &[u8]) -> bool {
    // No other store's record looks so: behind whatever its prefix is, its keys have a part more.
    record::parse_data_key(name).is_some_and(|(path, _)| Key::parse(path).is_some())
}

/// What another store's keys begin with behind this one's prefix, where this is one of the records that each store has.
fn sign_of_another(name: &[u8], value: &[u8]) -> Option<String> {
    if LAST.contains(&name) || is_data(name) || LogRecord::decode(value).is_some() {
        return None;
    }
    let prefix = SIGNS.iter().find_map(|sign| name.strip_suffix(*sign))?;
    Some(String::from_utf8_lossy(prefix).into_owned())
}

#[cfg(test)]
mod tests;
