//! The frame of a block and what stands in an end block, as bytes. No I/O.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Summary, cipher};
use crate::Revision;

/// Records.
pub(super) const RECORDS: u8 = 1;
/// The end.
pub(super) const END: u8 = 2;

/// Bytes of records that a block is filled up to; a larger record is a block of its own. What one transaction over TiKV
/// takes well.
pub(super) const FULL: usize = 256 << 10;
/// Bytes of records that a block may have at most: more than any value can be.
const LARGEST: usize = 64 << 20;
/// Bytes that a block's body may have at most: incompressible and encrypted.
pub(super) const LARGEST_BODY: usize = LARGEST + LARGEST / 128 + cipher::TAG;

/// zstd's own default: fast, and objects are text.
const LEVEL: i32 = 3;

/// The length of the records, then the records compressed.
pub(super) fn compress(records: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u32::try_from(records.len()).expect("a block is limited");
    Ok([&length.to_be_bytes()[..], &zstd::bulk::compress(records, LEVEL)?].concat())
}

/// What [`compress`] was given, or `None` where that is not to be had from these bytes.
pub(super) fn decompress(body: &[u8]) -> Option<Vec<u8>> {
    let (length, compressed) = body.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let records =
        zstd::bulk::decompress(compressed, Some(length).filter(|length| *length <= LARGEST)?).ok()?;
    (records.len() == length).then_some(records)
}

/// Bytes of a frame.
pub(super) const FRAME: usize = 1 + 4 + 8;
/// Bytes of a record's own frame.
pub(super) const RECORD_FRAME: usize = 8;

/// What stands before a block's body.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) length: u32,
    checksum: u64,
}

impl Frame {
    pub(super) fn of(index: u64, kind: u8, body: &[u8]) -> Self {
        let length = u32::try_from(body.len()).expect("a block's body is limited");
        Self { kind, length, checksum: checksum(index, kind, length, body) }
    }

    /// Whether it is of that body at that place.
    pub(super) fn fits(&self, index: u64, body: &[u8]) -> bool {
        self.checksum == checksum(index, self.kind, self.length, body)
    }

    pub(super) fn encode(&self) -> [u8; FRAME] {
        let mut bytes = [0; FRAME];
        bytes[0] = self.kind;
        bytes[1..5].copy_from_slice(&self.length.to_be_bytes());
        bytes[5..].copy_from_slice(&self.checksum.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; FRAME]) -> Self {
        let [kind, a, b, c, d, checksum @ ..] = *bytes;
        Self { kind, length: u32::from_be_bytes([a, b, c, d]), checksum: u64::from_be_bytes(checksum) }
    }
}

/// Also of the frame itself, so that no bit of a block is left out.
fn checksum(index: u64, kind: u8, length: u32, body: &[u8]) -> u64 {
    xxh3_64_with_seed(body, index) ^ xxh3_64_with_seed(&length.to_be_bytes(), u64::from(kind))
}

const SUMMARY: usize = 8 + 8 + 32;

impl Summary {
    pub(super) fn encode(&self) -> Vec<u8> {
        let fields: [&[u8]; 3] = [&self.objects.to_be_bytes(), &self.bytes.to_be_bytes(), &self.sha256];
        fields.concat()
    }

    pub(super) fn decode(bytes: &[u8], revision: Revision) -> Option<Self> {
        let bytes: &[u8; SUMMARY] = bytes.try_into().ok()?;
        let (objects, rest) = bytes.split_first_chunk()?;
        let (total, sha256) = rest.split_first_chunk()?;
        Some(Self {
            revision,
            objects: u64::from_be_bytes(*objects),
            bytes: u64::from_be_bytes(*total),
            sha256: sha256.try_into().ok()?,
        })
    }
}
