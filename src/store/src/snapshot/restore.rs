//! From a snapshot to an engine that was empty: a new history, which begins far above the old one.
//!
//! Versions keep their revisions, since objects carry theirs; the horizon, and with it the store's newest revision, is put
//! at [`begins_at`]. So whatever a client remembers is older than the horizon: its watch ends with 410 and it lists again,
//! its continue token has expired, and what it holds of an object that changed after the snapshot is no revision of it.
//!
//! While it is being written the engine holds `m/restoring` and no format, and no store opens it. What an earlier restore
//! left unfinished is removed and begun anew; anything else that is there is left alone.

use std::io::Read;
use std::time::Duration;

use bytes::Bytes;

use super::{Error, Header, Reader, Summary};
use crate::beginning::beginning;
use crate::cluster::ledger::{self, Tip};
use crate::engine::{Batch, Condition, Durability, Written};
use crate::recovery::encode_number;
use crate::{Engine, Revision, record};

/// Who else may write to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// It belongs to this process.
    Alone,
    /// Any number of servers may have it open.
    Shared,
}

/// Where the history begins that is restored from a snapshot at a time since the Unix epoch: above every revision that the
/// old one can have reached, or whatever was restored in its place since.
#[must_use]
pub fn begins_at(header: &Header, now: Duration) -> Revision {
    beginning(header.revision, now)
}

/// Makes an empty engine a store with what a snapshot holds, its newest revision being `revision`; blocks.
///
/// # Errors
/// [`Error::NotEmpty`] and nothing was changed; otherwise those of [`Reader::next_block`], [`Error::Overtaken`] and
/// [`Error::Engine`], after which no store opens the engine until a restore into it was finished.
pub fn restore<R: Read>(
    mut reader: Reader<R>,
    engine: &Engine,
    sharing: Sharing,
    revision: Revision,
) -> Result<Summary, Error> {
    let mut target = Target::begin(engine, sharing)?;
    while let Some(records) = reader.next_block()? {
        let mut batch = Batch::default();
        for record in records {
            batch.put(record.name, record.value);
        }
        target.write(batch)?;
    }
    target.finish(revision, revision)?;
    reader.summary().copied().ok_or_else(|| Error::Ended("the snapshot has no end".to_owned()))
}

/// Changes with every batch of whoever restores: what a shared engine's batches are conditional on.
pub(crate) const RESTORING_KEY: &[u8] = b"m/restoring";
/// Records removed at once.
const STRETCH: usize = 256;

/// An engine that becomes a store.
pub(super) struct Target {
    engine: Engine,
    sharing: Sharing,
    /// What [`RESTORING_KEY`] holds.
    token: Bytes,
}

impl Target {
    /// Takes an engine that is empty, or becomes so when the remains of an earlier attempt are removed.
    pub(super) fn begin(engine: &Engine, sharing: Sharing) -> Result<Self, Error> {
        let snapshot = engine.snapshot();
        let before = snapshot.get(RESTORING_KEY)?;
        if before.is_none() || snapshot.get(record::FORMAT_KEY)?.is_some() {
            if let Some(pair) = snapshot.scan(b"", b"\xff").next() {
                let found = format!("a record {}", pair?.0.escape_ascii());
                return Err(Error::NotEmpty { found });
            }
            if let Some(mark) = engine.acknowledged()? {
                let found = format!("revision {} {}", mark.revision, mark.evidence);
                return Err(Error::NotEmpty { found });
            }
        }
        let token: [u8; 16] = rand::random();
        let mut target = Self { engine: engine.clone(), sharing, token: Bytes::copy_from_slice(&token) };
        let mut batch = Batch::default();
        batch.put(RESTORING_KEY, target.token.clone());
        target.write_if(before, batch)?;
        target.clear()?;
        Ok(target)
    }

    /// Removes all but the sign that somebody restores.
    fn clear(&mut self) -> Result<(), Error> {
        let snapshot = self.engine.snapshot();
        let mut names = Vec::new();
        for pair in snapshot.scan(b"", b"\xff") {
            let (name, _) = pair?;
            if name != RESTORING_KEY {
                names.push(name);
            }
            if names.len() == STRETCH {
                self.remove(std::mem::take(&mut names))?;
            }
        }
        self.remove(names)
    }

    fn remove(&mut self, names: Vec<Bytes>) -> Result<(), Error> {
        let mut batch = Batch::default();
        names.into_iter().for_each(|name| batch.remove(name));
        self.write(batch)
    }

    /// Writes records; they are durable when [`Target::finish`] returns at the latest.
    pub(super) fn write(&mut self, mut batch: Batch) -> Result<(), Error> {
        let before = self.token.clone();
        self.token = next(&before);
        batch.put(RESTORING_KEY, self.token.clone());
        self.write_if(Some(before), batch)
    }

    /// Makes it a store whose history reaches from `horizon` to `tip`.
    pub(super) fn finish(self, horizon: Revision, tip: Revision) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.put(record::FORMAT_KEY, encode_number(record::FORMAT));
        batch.put(record::HORIZON_KEY, encode_number(horizon));
        batch.remove(RESTORING_KEY);
        match self.sharing {
            Sharing::Alone => {
                self.engine.write(batch, Durability::Synced)?;
                self.engine.acknowledge(tip)?;
                self.engine.sync()?;
            }
            Sharing::Shared => {
                batch.put(ledger::TIP_KEY, Tip { revision: tip, ..Tip::default() }.encode());
                self.write_if(Some(self.token.clone()), batch)?;
            }
        }
        Ok(())
    }

    /// Writes if nobody else has begun to write meanwhile.
    fn write_if(&self, expected: Option<Bytes>, batch: Batch) -> Result<(), Error> {
        if self.sharing == Sharing::Alone {
            return Ok(self.engine.write(batch, Durability::Deferred)?);
        }
        let condition = Condition { key: Bytes::from_static(RESTORING_KEY), expected };
        match self.engine.write_if(&condition, batch)? {
            Written::Done => Ok(()),
            Written::Refused => Err(Error::Overtaken),
        }
    }
}

/// Another token of the same writer: a shared engine tells two batches apart by what they change.
fn next(token: &Bytes) -> Bytes {
    let number = token.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    Bytes::copy_from_slice(&number.wrapping_add(1).to_be_bytes())
}
