//! Batches as they are found in a file's bytes: which are whole, what they tell of the store, what lies behind them.
//!
//! A batch is whole when its checksum says so. Nothing is believed of what is not, except that a log record in it, which has
//! a checksum of its own, was written. How batches become bytes is in [`super::encoding`].

use bytes::Bytes;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

use super::encoding::{CLEAR, END, ITEM, START, TRAILER, VALUE};
use crate::Revision;
use crate::engine::Change;
use crate::record::{self, LogRecord};

/// The part of a file that consists of whole batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine::fjall) struct Intact {
    pub(in crate::engine::fjall) end: usize,
    pub(super) told: Told,
}

impl Intact {
    /// Follows whole batches from the beginning.
    pub(super) fn walk(bytes: &[u8]) -> Self {
        let mut intact = Self::default();
        while let Some((length, told)) = batch(&bytes[intact.end..]) {
            intact.end += length;
            intact.told.add(told);
        }
        intact
    }
}

/// What whole batches tell of the store's revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The newest write.
    pub(super) logged: Option<Revision>,
    /// The newest horizon: no store is older than that, but there may be any number of writes behind it.
    pub(super) horizon: Option<Revision>,
}

impl Told {
    pub(super) fn newest(self) -> Option<Revision> {
        self.logged.max(self.horizon)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.logged = self.logged.max(other.logged);
        self.horizon = self.horizon.max(other.horizon);
    }

    /// Takes note of an item.
    fn hear(&mut self, key: &[u8], value: &[u8]) {
        if key == record::HORIZON_KEY {
            self.horizon = self.horizon.max(value.try_into().ok().map(Revision::from_be_bytes));
        }
        self.logged = self.logged.max(LogRecord::decode(value).map(|record| record.revision));
    }
}

/// What lies behind the whole batches.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    /// The highest revision that a log record there proves to have been durable.
    pub(super) proven: Option<Revision>,
    /// The highest revision that is logged there, durable or not.
    pub(super) newest: Option<Revision>,
    /// Bytes up to the last that is not zero: the journal is prepared before it is filled.
    pub(super) length: usize,
}

impl Behind {
    pub(super) fn search(bytes: &[u8]) -> Self {
        let length = filled(bytes);
        let mut behind = Self { length, ..Self::default() };
        for found in record::find_log_records(&bytes[..length]) {
            behind.proven = behind.proven.max(Some(found.group - 1));
            behind.newest = behind.newest.max(Some(found.revision));
        }
        behind
    }
}

/// How many bytes are followed by zeros only, of which there may be megabytes.
pub(super) fn filled(bytes: &[u8]) -> usize {
    static ZEROS: [u8; 1 << 12] = [0; 1 << 12];
    let mut end = bytes.len();
    while end >= ZEROS.len() && bytes[end - ZEROS.len()..end] == ZEROS {
        end -= ZEROS.len();
    }
    bytes[..end].iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Shows the changes of each batch of a file, in order; nothing is copied.
pub(super) fn replay(bytes: &Bytes, intact: Intact, mut apply: impl FnMut(Vec<Change>)) {
    let mut at = 0;
    while at < intact.end {
        at += START_LENGTH;
        let mut changes = Vec::new();
        while let Some(item) = Item::at(&bytes[at..]) {
            changes.extend(item.change(bytes, at));
            at += item.length();
        }
        at += END_LENGTH;
        apply(changes);
    }
}

/// Tag, number of items, number of the batch.
const START_LENGTH: usize = 1 + 4 + 8;
/// Tag, checksum, what ends every batch.
const END_LENGTH: usize = 1 + 8 + TRAILER.len();
/// Tag, kind of value, compression, keyspace, lengths of the key and of the value, before and after compression.
const ITEM_HEADER: usize = 3 + 8 + 2 + 4 + 4;
/// Tag, keyspace.
const CLEAR_LENGTH: usize = 1 + 8;

/// The batch that the bytes begin with: how long it is, and what it tells; `None` where no whole one begins.
fn batch(bytes: &[u8]) -> Option<(usize, Told)> {
    let start = bytes.first_chunk::<START_LENGTH>()?;
    if start[0] != START {
        return None;
    }
    let [_, a, b, c, d, ..] = *start;
    let (mut at, mut told) = (START_LENGTH, Told::default());
    for _ in 0..u32::from_le_bytes([a, b, c, d]) {
        let item = Item::at(&bytes[at..])?;
        let [key, value] = item.parts().map(|part| bytes.get(at + part.start..at + part.end));
        told.hear(key?, value?);
        at += item.length();
    }
    let end = bytes[at..].first_chunk::<END_LENGTH>()?;
    let is_whole =
        end[0] == END && end[1..9] == xxh3_64(&bytes[START_LENGTH..at]).to_le_bytes() && end[9..] == TRAILER;
    is_whole.then_some((at + END_LENGTH, told))
}

/// What a batch consists of, by what its header says.
enum Item {
    Pair {
        kind: u8,
        key: usize,
        value: usize,
    },
    /// A whole keyspace is emptied; only fjall knows that.
    Clear,
}

impl Item {
    fn at(bytes: &[u8]) -> Option<Self> {
        match *bytes.first()? {
            ITEM => {
                let header = bytes.first_chunk::<ITEM_HEADER>()?;
                let key = u16::from_le_bytes([header[11], header[12]]);
                let value = u32::from_le_bytes([header[17], header[18], header[19], header[20]]);
                let value = usize::try_from(value).ok()?;
                Some(Self::Pair { kind: header[1], key: usize::from(key), value })
            }
            CLEAR => Some(Self::Clear),
            _ => None,
        }
    }

    /// Where its key and its value are, from where it begins.
    fn parts(&self) -> [Range<usize>; 2] {
        match *self {
            Self::Pair { key, value, .. } => {
                [ITEM_HEADER..ITEM_HEADER + key, ITEM_HEADER + key..ITEM_HEADER + key + value]
            }
            Self::Clear => [CLEAR_LENGTH..CLEAR_LENGTH, CLEAR_LENGTH..CLEAR_LENGTH],
        }
    }

    fn length(&self) -> usize {
        self.parts()[1].end
    }

    /// The change that it is, where it begins at a place in the file.
    fn change(&self, bytes: &Bytes, at: usize) -> Option<Change> {
        let Self::Pair { kind, .. } = *self else { return None };
        let [key, value] = self.parts().map(|part| bytes.slice(at + part.start..at + part.end));
        Some(if kind == VALUE { Change::Put(key, value) } else { Change::Remove(key) })
    }
}
