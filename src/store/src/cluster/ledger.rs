//! The records with which servers over one engine agree on who orders the writes, as bytes.
//!
//! `m/tip` is rewritten by every batch: it is what every batch's condition is about. `m/owner` says how the owner is
//! reached and whom it believes; `m/epoch/<number>` where each epoch began. Read by all, written by whoever takes over
//! and by the owner. Nothing here does I/O beyond the snapshot it is given.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::xxh3_64;

use super::departure::{DEPARTURE_KEY, Departure};
use crate::engine::{Condition, Snapshot};
use crate::recovery::number;
use crate::{EngineError, Revision};

pub(crate) const TIP_KEY: &[u8] = b"m/tip";
pub(crate) const OWNER_KEY: &[u8] = b"m/owner";

/// Counts the changes of ownership; 0 before the first owner.
pub(crate) type Epoch = u64;

/// The newest batch, and who wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) epoch: Epoch,
    /// The last revision of the newest batch.
    pub(crate) revision: Revision,
    /// Counted up by an owner that has nothing to write, to show that it is there.
    pub(crate) beat: u64,
    /// What its writer said of itself with it.
    pub(crate) standing: Standing,
}

/// Whether somebody orders the writes, or may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The owner of the epoch does.
    #[default]
    Held,
    /// The owner has ended in good order: whoever comes takes over.
    Released,
    /// Nobody may: the state leaves this engine ([`super::departure`]).
    Sealed,
}

const TIP: usize = 3 * 8 + 1;

impl Tip {
    pub(crate) fn encode(&self) -> Bytes {
        let mut record = BytesMut::with_capacity(TIP + 8);
        record.put_u64(self.epoch);
        record.put_u64(self.revision);
        record.put_u64(self.beat);
        record.put_u8(self.standing as u8);
        sealed(record)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let body: &[u8; TIP] = unsealed(bytes)?.try_into().ok()?;
        let number = |at: usize| body[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let standing = match body[24] {
            0 => Standing::Held,
            1 => Standing::Released,
            2 => Standing::Sealed,
            _ => return None,
        };
        Some(Self { epoch: number(0), revision: number(8), beat: number(16), standing })
    }

    /// The tip behind a batch that ends with `last`.
    pub(crate) fn after(&self, last: Revision) -> Self {
        Self { revision: last, ..*self }
    }

    pub(crate) fn beaten(&self) -> Self {
        Self { beat: self.beat + 1, ..*self }
    }

    /// What has to be true for a batch that follows this tip.
    pub(crate) fn condition(&self) -> Condition {
        Condition { key: Bytes::from_static(TIP_KEY), expected: Some(self.encode()) }
    }
}

/// How the owner of an epoch is reached, and how both sides know each other. Whoever can read the store may talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) epoch: Epoch,
    /// `address:port`.
    pub(crate) address: String,
    /// SHA-256 of its certificate.
    pub(crate) fingerprint: [u8; 32],
    /// What a caller has to show.
    pub(crate) secret: [u8; 32],
}

impl Owner {
    pub(crate) fn encode(&self) -> Bytes {
        let mut record = BytesMut::new();
        record.put_u64(self.epoch);
        record.put_slice(&self.fingerprint);
        record.put_slice(&self.secret);
        record.put_slice(self.address.as_bytes());
        sealed(record)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = unsealed(bytes)?.split_first_chunk::<8>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
        let (secret, address) = rest.split_first_chunk::<32>()?;
        Some(Self {
            epoch: Epoch::from_be_bytes(*epoch),
            address: String::from_utf8(address.to_vec()).ok()?,
            fingerprint: *fingerprint,
            secret: *secret,
        })
    }
}

/// Where the revision is stored at which an epoch began: the newest one that was written before it.
pub(crate) fn epoch_key(epoch: Epoch) -> Bytes {
    let mut key = BytesMut::from(&b"m/epoch/"[..]);
    key.put_u64(epoch);
    key.freeze()
}

/// What a snapshot says about ownership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) tip: Tip,
    /// `None` before the first owner.
    pub(crate) owner: Option<Owner>,
    /// Where the state goes, while the tip is sealed.
    pub(crate) departure: Option<Departure>,
}

pub(crate) fn read(snapshot: &dyn Snapshot) -> Result<Ledger, EngineError> {
    find(snapshot)?.ok_or_else(|| {
        EngineError::new("the record m/tip is missing: the store was not made to be shared, or was removed")
    })
}

/// As [`read`]; `None` where there is no store that servers share.
pub(crate) fn find(snapshot: &dyn Snapshot) -> Result<Option<Ledger>, EngineError> {
    let keys = [TIP_KEY, OWNER_KEY, DEPARTURE_KEY].map(Bytes::from_static);
    let [tip, owner, departure] = <[_; 3]>::try_from(snapshot.get_all(&keys)?)
        .map_err(|_| EngineError::new("the engine gave another number of values than was asked for"))?;
    let Some(tip) = tip else { return Ok(None) };
    let tip = Tip::decode(&tip).ok_or_else(|| EngineError::new("the record m/tip is damaged"))?;
    let decode =
        |bytes: Bytes| Owner::decode(&bytes).ok_or_else(|| EngineError::new("the record m/owner is damaged"));
    let departure = match (tip.standing, departure) {
        (Standing::Sealed, Some(bytes)) => Some(
            Departure::decode(&bytes).ok_or_else(|| EngineError::new("the record m/departure is damaged"))?,
        ),
        (Standing::Sealed, None) => return Err(EngineError::new("the record m/departure is missing")),
        _ => None,
    };
    Ok(Some(Ledger { tip, owner: owner.map(decode).transpose()?, departure }))
}

/// Where an epoch began.
pub(crate) fn beginning(snapshot: &dyn Snapshot, epoch: Epoch) -> Result<Revision, EngineError> {
    number(snapshot, &epoch_key(epoch))?
        .ok_or_else(|| EngineError::new(format!("the record of where epoch {epoch} began is missing")))
}

pub(super) fn sealed(mut record: BytesMut) -> Bytes {
    let checksum = xxh3_64(&record);
    record.put_u64(checksum);
    record.freeze()
}

pub(super) fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (body, checksum) = bytes.split_last_chunk::<8>()?;
    (xxh3_64(body).to_be_bytes() == *checksum).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went_in_and_damaged_ones_do_not() {
        for standing in [Standing::Held, Standing::Released, Standing::Sealed] {
            let tip = Tip { epoch: 3, revision: 70, beat: 5, standing };
            assert_eq!(Tip::decode(&tip.encode()), Some(tip));
        }
        let tip = Tip { epoch: 3, revision: 70, beat: 5, standing: Standing::Released };
        let owner = Owner { epoch: 3, address: "[::1]:80".to_owned(), fingerprint: [1; 32], secret: [2; 32] };
        assert_eq!(Owner::decode(&owner.encode()), Some(owner.clone()));
        for (record, is_read) in [
            (tip.encode(), (|bytes| Tip::decode(bytes).is_some()) as fn(&[u8]) -> bool),
            (owner.encode(), |bytes| Owner::decode(bytes).is_some()),
        ] {
            for at in 0..record.len() {
                let mut damaged = record.to_vec();
                damaged[at] ^= 4;
                assert!(!is_read(&damaged), "byte {at}");
                assert!(!is_read(&record[..at]), "cut at {at}");
            }
        }
    }
}
