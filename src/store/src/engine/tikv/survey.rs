//! Which stores there are in a TiKV cluster, whatever their prefixes: for a person who has to find one.
//!
//! Nothing lists them, so the keys are leapt over: from the first key of a store behind its last one. Keys of other
//! applications are passed one by one, hence not all of them.

use bytes::Bytes;

use super::Place;
use super::client::Prefix;
use super::view::View;
use crate::cluster::ledger::{self, Ledger};
use crate::engine::Snapshot;
use crate::snapshot::RESTORING_KEY;
use crate::{Departure, Engine, EngineError, OpenError, Revision, record};

/// A store that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What its keys begin with.
    pub prefix: String,
    /// Its newest revision; `None` where a restore into it was not finished, or it is unreadable.
    pub revision: Option<Revision>,
    /// Where its state goes, or went.
    pub departure: Option<Departure>,
    /// Why the records about the store itself cannot be read, where they cannot.
    pub unreadable: Option<String>,
}

impl Found {
    fn new(prefix: String, ledger: Option<Result<Ledger, EngineError>>) -> Self {
        let unfinished = Self { prefix, revision: None, departure: None, unreadable: None };
        match ledger {
            Some(Ok(Ledger { tip, departure, .. })) => {
                Self { revision: Some(tip.revision), departure, ..unfinished }
            }
            Some(Err(error)) => Self { unreadable: Some(error.to_string()), ..unfinished },
            None => unfinished,
        }
    }
}

/// What is in a TiKV cluster.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// By prefix.
    pub stores: Vec<Found>,
    /// Whether all keys were looked at: not where other applications have too many.
    pub is_complete: bool,
}

/// Keys of other applications that are looked at.
const FOREIGN: usize = 10_000;

/// Looks for stores under any prefix; blocks. The prefix of `place` says nothing here.
///
/// # Errors
/// As [`super::open`], or when the keys cannot be read.
pub fn survey(place: &Place) -> Result<Survey, OpenError> {
    let client = super::connect(place)?;
    let at = client.timestamp();
    let everything = View::new(client, Prefix::new(""), at);
    let mut survey = Survey::default();
    let (mut from, mut foreign) = (Vec::new(), 0);
    while foreign < FOREIGN {
        let Some(key) = everything.first_key(from)? else {
            survey.is_complete = true;
            break;
        };
        from = match found(&everything, &key)? {
            Some(found) => {
                // Behind every record of a store: they begin with `d/`, `l/` and `m/`.
                let behind = [found.prefix.as_bytes(), b"m0"].concat();
                survey.stores.push(found);
                behind
            }
            None => {
                foreign += 1;
                [&key[..], &[0]].concat()
            }
        };
    }
    Ok(survey)
}

/// Whether an engine holds anything that a store would not begin in.
///
/// # Errors
/// When it cannot be read.
pub fn is_new(engine: &Engine) -> Result<bool, EngineError> {
    let snapshot = engine.snapshot();
    Ok(snapshot.get(record::FORMAT_KEY)?.is_none() && snapshot.get(RESTORING_KEY)?.is_none())
}

/// The store that a key is of.
fn found(everything: &View, key: &[u8]) -> Result<Option<Found>, EngineError> {
    let records: [&[u8]; 3] = [b"d/", b"l/", b"m/"];
    for at in 1..key.len().saturating_sub(1) {
        let Ok(prefix) = std::str::from_utf8(&key[..at]) else { continue };
        if !records.contains(&&key[at..at + 2]) {
            continue;
        }
        let name = |record: &[u8]| Bytes::from([prefix.as_bytes(), record].concat());
        let signs =
            everything.get_all(&[name(record::FORMAT_KEY), name(RESTORING_KEY), name(ledger::TIP_KEY)])?;
        let prefix = prefix.to_owned();
        match &signs[..] {
            [Some(_), _, Some(_)] => {
                // Of that moment, too: it may have been removed since. Where it is damaged, the others are looked for all the same.
                let ledger = ledger::read(&everything.under(&prefix));
                return Ok(Some(Found::new(prefix, Some(ledger))));
            }
            [_, Some(_), _] => return Ok(Some(Found::new(prefix, None))),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Batch;
    use crate::engine::Durability::Synced;
    use crate::memory;

    fn found(tip: &[u8]) -> Found {
        let engine = memory::new();
        let mut batch = Batch::default();
        batch.put(ledger::TIP_KEY, Bytes::copy_from_slice(tip));
        engine.write(batch, Synced).unwrap();
        Found::new("p/".to_owned(), Some(ledger::read(&*engine.snapshot())))
    }

    #[test]
    fn a_store_whose_ledger_is_damaged_is_reported_as_that() {
        let mut tip = ledger::Tip { revision: 7, ..ledger::Tip::default() }.encode().to_vec();
        assert_eq!((found(&tip).revision, found(&tip).unreadable), (Some(7), None));
        tip[3] ^= 1;
        let damaged = found(&tip);
        assert_eq!((damaged.prefix.as_str(), damaged.revision), ("p/", None));
        assert!(damaged.unreadable.unwrap().contains("m/tip is damaged"));
    }
}
