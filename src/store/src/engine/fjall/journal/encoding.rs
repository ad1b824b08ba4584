//! A batch as bytes: what the journal appends.
//!
//! The layout is that of fjall 3's own journal (`fjall/src/journal/entry.rs`), so that one reader understands both.

use crate::engine::Change;
use xxhash_rust::xxh3::xxh3_64;

/// What a batch begins with.
pub(super) const START: u8 = 1;
/// What each pair of it begins with.
pub(super) const ITEM: u8 = 2;
/// What comes before its checksum.
pub(super) const END: u8 = 3;
/// What empties a whole keyspace; never written by us.
pub(super) const CLEAR: u8 = 4;
/// What it ends with.
pub(super) const TRAILER: [u8; 4] = *b"FJL\x03";
/// A pair that is set.
pub(super) const VALUE: u8 = 0;
/// A key that is removed.
const TOMBSTONE: u8 = 1;

/// Appends the bytes of a batch. `number` is the journal's own of the batch, `keyspace` the one that it changes.
pub(super) fn append(changes: &[Change], number: u64, keyspace: u64, bytes: &mut Vec<u8>) {
    let count = u32::try_from(changes.len()).expect("a batch has far fewer changes");
    bytes.push(START);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    let items = bytes.len();
    for change in changes {
        append_item(change, keyspace, bytes);
    }
    let checksum = xxh3_64(&bytes[items..]);
    bytes.push(END);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&TRAILER);
}

fn append_item(change: &Change, keyspace: u64, bytes: &mut Vec<u8>) {
    const UNCOMPRESSED: u8 = 0;
    let (kind, key, value): (u8, &[u8], &[u8]) = match change {
        Change::Put(key, value) => (VALUE, key, value),
        Change::Remove(key) => (TOMBSTONE, key, &[]),
    };
    bytes.extend_from_slice(&[ITEM, kind, UNCOMPRESSED]);
    bytes.extend_from_slice(&keyspace.to_le_bytes());
    let length = u16::try_from(key.len()).expect("keys are at most MAX_KEY long, and a few bytes");
    bytes.extend_from_slice(&length.to_le_bytes());
    let length = u32::try_from(value.len()).expect("values are at most megabytes long").to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
}
