//! A batch as fjall writes it into its journal, for simulated disks; a test compares it with what fjall wrote.

use super::{END, ITEM, START, TRAILER};
use crate::engine::Change;
use xxhash_rust::xxh3::Xxh3;

/// The bytes of a batch. `number` is fjall's own of the batch, `keyspace` the one that it changes.
pub(crate) fn encode(changes: &[Change], number: u64, keyspace: u64) -> Vec<u8> {
    let mut bytes = vec![START];
    bytes.extend(u32::try_from(changes.len()).unwrap().to_le_bytes());
    bytes.extend(number.to_le_bytes());
    let mut checksum = Xxh3::new();
    for change in changes {
        let item = encode_item(change, keyspace);
        checksum.update(&item);
        bytes.extend(item);
    }
    bytes.push(END);
    bytes.extend(checksum.digest().to_le_bytes());
    bytes.extend(TRAILER);
    bytes
}

fn encode_item(change: &Change, keyspace: u64) -> Vec<u8> {
    const VALUE: u8 = 0;
    const TOMBSTONE: u8 = 1;
    const UNCOMPRESSED: u8 = 0;
    let (kind, key, value): (u8, &[u8], &[u8]) = match change {
        Change::Put(key, value) => (VALUE, key, value),
        Change::Remove(key) => (TOMBSTONE, key, &[]),
    };
    let mut item = vec![ITEM, kind, UNCOMPRESSED];
    item.extend(keyspace.to_le_bytes());
    item.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
    let length = u32::try_from(value.len()).unwrap().to_le_bytes();
    item.extend([length, length].concat());
    item.extend_from_slice(key);
    item.extend_from_slice(value);
    item
}
