//! A state that leaves a shared engine for good: nobody may write to what stays behind, from a moment that every server
//! agrees on, and each of them can say where the state went.
//!
//! ```text
//! held ── seal ──► sealed, on its way ── conclude ──► sealed, over
//!                        └── reopen ──► released, as if nothing had been
//! held, released ── claim ──► sealed, over: it goes nowhere (`removal`)
//! ```
//!
//! The seal stands in `m/tip`, the condition of every batch, so whoever still believes to own the order of writes fails.
//! Each step is one conditional batch; whoever dies between two leaves a record that says what was under way. Of `reopen` and
//! `conclude` whichever comes first holds, and the other says so: where the state is follows from that alone.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::ledger::{self, Ledger, Standing, Tip, sealed, unsealed};
use crate::engine::{Batch, Written};
use crate::{Engine, EngineError};

pub(crate) const DEPARTURE_KEY: &[u8] = b"m/departure";

/// Where a state goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The place, in words; empty where it goes nowhere, because it is being removed.
    pub to: String,
    /// Tells it from any other.
    pub token: [u8; 16],
    /// Whether it is there, and what stays behind is past.
    pub is_over: bool,
}

impl Departure {
    /// One that begins.
    #[must_use]
    pub fn begin(to: String) -> Self {
        Self { to, token: rand::random(), is_over: false }
    }

    /// One that leads nowhere: what is there is removed for good.
    pub(crate) fn removal() -> Self {
        Self { is_over: true, ..Self::begin(String::new()) }
    }

    /// Whether the state is being removed.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        self.to.is_empty()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut record = BytesMut::new();
        record.put_slice(&self.token);
        record.put_u8(u8::from(self.is_over));
        record.put_slice(self.to.as_bytes());
        sealed(record)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (token, rest) = unsealed(bytes)?.split_first_chunk::<16>()?;
        let (is_over, to) = rest.split_first()?;
        Some(Self { to: String::from_utf8(to.to_vec()).ok()?, token: *token, is_over: *is_over == 1 })
    }
}

/// Behind "its".
impl fmt::Display for Departure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = &self.to;
        if self.is_removal() {
            return write!(
                formatter,
                "state is being removed for good (`coxswain store remove`): end this server"
            );
        }
        if self.is_over {
            return write!(
                formatter,
                "state was moved to {to}, where alone it goes on: end this server; to use its machine as a node, reset its \
                 data directory and let it join (`coxswain agent`)"
            );
        }
        write!(
            formatter,
            "state is being moved to {to}, which takes seconds: if it was broken off, start the server there again, or, if \
             that is gone for good, run `coxswain store move --give-up` with this --store-prefix"
        )
    }
}

/// What became of an attempt to change a departure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was done, or had been before.
    Done,
    /// No such departure is under way.
    None,
    /// The engine holds no state that could depart, or only what is left of one that is being removed.
    Empty,
    /// It is over: the state is there, and what stayed behind is past.
    Over(Departure),
}

/// Where the state of an engine goes, or went; `None` where it stays, and where there is none. Blocks.
///
/// # Errors
/// The engine fails, or the records are damaged.
pub fn departure(engine: &Engine) -> Result<Option<Departure>, EngineError> {
    let snapshot = engine.snapshot();
    match snapshot.get(ledger::TIP_KEY)? {
        Some(_) => Ok(ledger::read(&*snapshot)?.departure),
        None => Ok(None),
    }
}

/// Lets servers write again: the departure with this token, or whichever there is, was given up. A seal of it that is still
/// on its way to the engine does not come any more. Blocks.
///
/// # Errors
/// As [`departure`]; whether it was done is open then.
pub fn reopen(engine: &Engine, token: Option<[u8; 16]>) -> Result<Settled, EngineError> {
    change(engine, token, |tip, departure, batch| {
        if departure.is_over {
            return Some(Settled::Over(departure.clone()));
        }
        batch.put(ledger::TIP_KEY, Tip { standing: Standing::Released, ..tip.beaten() }.encode());
        batch.remove(DEPARTURE_KEY);
        None
    })
}

/// Says for good that the state has gone. Blocks.
///
/// # Errors
/// As [`departure`]; whether it was done is open then.
pub fn conclude(engine: &Engine, token: [u8; 16]) -> Result<Settled, EngineError> {
    change(engine, Some(token), |tip, departure, batch| {
        if departure.is_over {
            return Some(Settled::Done);
        }
        batch.put(ledger::TIP_KEY, tip.beaten().encode());
        batch.put(DEPARTURE_KEY, Departure { is_over: true, ..departure.clone() }.encode());
        None
    })
}

/// Writes what `change` puts into the batch, unless it has an answer, until it was done.
fn change(
    engine: &Engine,
    token: Option<[u8; 16]>,
    change: impl Fn(Tip, &Departure, &mut Batch) -> Option<Settled>,
) -> Result<Settled, EngineError> {
    loop {
        let snapshot = engine.snapshot();
        if snapshot.get(ledger::TIP_KEY)?.is_none() {
            return Ok(Settled::Empty);
        }
        let Ledger { tip, departure, .. } = ledger::read(&*snapshot)?;
        if departure.as_ref().is_some_and(Departure::is_removal) {
            // Whoever copied it has the last of it.
            return Ok(Settled::Empty);
        }
        let mut batch = Batch { is_contended: true, ..Batch::default() };
        let settled = match departure.filter(|found| token.is_none_or(|token| token == found.token)) {
            Some(departure) => match change(tip, &departure, &mut batch) {
                Some(settled) => return Ok(settled),
                None => Settled::Done,
            },
            None => {
                // Whatever rests on the tip as it was fails from here on; an owner finds its own tip beaten, and goes on.
                batch.put(ledger::TIP_KEY, tip.beaten().encode());
                Settled::None
            }
        };
        if engine.write_if(&tip.condition(), batch)? == Written::Done {
            return Ok(settled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_comes_back_as_it_went_in_and_a_damaged_one_does_not() {
        let departure = Departure { is_over: true, ..Departure::begin("the directory /x of a".to_owned()) };
        let record = departure.encode();
        assert_eq!(Departure::decode(&record), Some(departure));
        for at in 0..record.len() {
            let mut damaged = record.to_vec();
            damaged[at] ^= 4;
            assert_eq!(Departure::decode(&damaged), None, "byte {at}");
            assert_eq!(Departure::decode(&record[..at]), None, "cut at {at}");
        }
    }
}
