//! The store's records as bytes: `d/<key>` NUL `<!revision>`, `l/<revision>` and the few under `m/`.
//!
//! The sequencer writes them, history and recovery read them, compaction removes them. Every record carries a checksum
//! of its own, because engines differ in what they check; a log record can even be recognised in the middle of foreign
//! bytes, which is how an engine's journal is searched for evidence. Nothing here does I/O.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{Attributes, Entry, EventKind, Key, Options, Range, Revision, Sealing, Value};

/// The format of the records described here.
pub(crate) const FORMAT: u64 = 1;
/// Holds [`FORMAT`].
pub(crate) const FORMAT_KEY: &[u8] = b"m/format";
/// Holds the revision up to which the log was compacted.
pub(crate) const HORIZON_KEY: &[u8] = b"m/horizon";
/// All data records lie between these.
pub(crate) const DATA: (&[u8], &[u8]) = (b"d/", b"d0");

const REVISION: usize = size_of::<Revision>();

// Data records.

/// Where a version is stored. NUL ends the key, so that the order of records is the order of keys; the revision is
/// inverted, so that the newest version comes first.
pub(crate) fn data_key(key: &Key, revision: Revision) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 + key.as_str().len() + 1 + REVISION);
    bytes.put_slice(b"d/");
    bytes.put_slice(key.as_str().as_bytes());
    bytes.put_u8(0);
    bytes.put_u64(!revision);
    bytes.freeze()
}

/// The key and revision of a data record.
pub(crate) fn parse_data_key(bytes: &[u8]) -> Option<(&str, Revision)> {
    let (path, revision) = bytes.strip_prefix(b"d/")?.split_last_chunk::<REVISION>()?;
    let path = std::str::from_utf8(path.strip_suffix(&[0])?).ok()?;
    Some((path, !Revision::from_be_bytes(*revision)))
}

/// The data records of a range, or of its keys behind `after`.
pub(crate) fn data_range(range: &Range, after: Option<&Key>) -> (Vec<u8>, Vec<u8>) {
    let from = match after {
        // NUL ends the key, so everything of `after` itself comes before this.
        Some(key) if key.as_str() >= range.path() => [b"d/", key.as_str().as_bytes(), &[1]].concat(),
        _ => [b"d/", range.path().as_bytes()].concat(),
    };
    // One key ends with NUL in the range's own notation, which its versions follow.
    let to = match range.extent() {
        crate::key::Extent::Key => [b"d/", range.path().as_bytes(), &[1]].concat(),
        _ => [b"d/", range.end().as_bytes()].concat(),
    };
    (from, to)
}

/// A version as read from its data record.
pub(crate) struct Version {
    pub(crate) deleted: bool,
    pub(crate) created: Revision,
    /// In stored form.
    pub(crate) bytes: Bytes,
}

const DATA_HEADER: usize = 8 + 1 + REVISION;

/// A version's data record; the value is the rest of it behind [`object`].
pub(crate) fn encode_data(value: &Value, deleted: bool, created: Revision, revision: Revision) -> Bytes {
    let mut record = BytesMut::with_capacity(DATA_HEADER + value.size());
    record.put_u64(0);
    record.put_u8(u8::from(deleted));
    record.put_u64(created);
    value.write(revision, &mut record);
    let checksum = xxh3_64_with_seed(&record[8..], revision);
    record[..8].copy_from_slice(&checksum.to_be_bytes());
    record.freeze()
}

/// The object's stored form within a data record, without copying it.
pub(crate) fn object(record: &Bytes) -> Bytes {
    record.slice(DATA_HEADER..)
}

/// Reads a data record; `None` when it is not what was written for that revision.
pub(crate) fn decode_data(record: &Bytes, revision: Revision) -> Option<Version> {
    let (checksum, rest) = record.split_first_chunk::<8>()?;
    if xxh3_64_with_seed(rest, revision).to_be_bytes() != *checksum {
        return None;
    }
    let (&deleted, rest) = rest.split_first()?;
    let (created, _) = rest.split_first_chunk::<REVISION>()?;
    Some(Version { deleted: deleted == 1, created: Revision::from_be_bytes(*created), bytes: object(record) })
}

impl Version {
    /// The version as readers see it. Its bytes are copied: what an engine hands out may be a small part of a block
    /// that would stay in memory with it.
    pub(crate) fn into_entry(self, key: Key, revision: Revision, options: &Options) -> Entry {
        let created = self.created;
        let (bytes, attributes, sealing) = match options.seal.open(&key, self.bytes) {
            Ok(opened) => {
                let attributes = (options.extract)(&key, &opened.object);
                (Bytes::copy_from_slice(&opened.object), attributes, Sealing::of(opened.by))
            }
            Err(why) => (Bytes::new(), Attributes::default(), Sealing::Unreadable(why.into())),
        };
        Entry { key, revision, created, bytes, attributes, sealing }
    }
}

// Log records.

/// One write in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRecord {
    pub(crate) revision: Revision,
    /// The first revision of the batch it was written in. All before it was durable when this was written.
    pub(crate) group: Revision,
    /// The version that it replaced or deleted.
    pub(crate) previous: Option<Revision>,
    /// The time since the Unix epoch.
    pub(crate) time_ms: u64,
    /// Bytes of the data record.
    pub(crate) size: u32,
    pub(crate) kind: EventKind,
    pub(crate) key: Key,
}

/// Begins every log record, so that one can be found among foreign bytes.
const MAGIC: &[u8; 8] = b"\xc0xswlog\x01";
const LOG_HEADER: usize = MAGIC.len() + 8 + 4 * 8 + 4 + 1 + 2;

/// Where the record of a write is.
pub(crate) fn log_key(revision: Revision) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 + REVISION);
    bytes.put_slice(b"l/");
    bytes.put_u64(revision);
    bytes.freeze()
}

/// The log records behind a revision.
pub(crate) fn log_after(revision: Revision) -> (Bytes, &'static [u8]) {
    (log_key(revision + 1), b"l0")
}

impl LogRecord {
    /// What the write takes of [`crate::Options::history_limit`].
    pub(crate) fn cost(&self) -> u64 {
        // Two records, each with the key, and what an engine spends on them.
        u64::from(self.size) + 2 * self.key.as_str().len() as u64 + 128
    }

    pub(crate) fn encode(&self) -> Bytes {
        let path = self.key.as_str().as_bytes();
        let mut record = BytesMut::with_capacity(LOG_HEADER + path.len());
        record.put_slice(MAGIC);
        record.put_u64(0);
        record.put_u64(self.revision);
        record.put_u64(self.group);
        record.put_u64(self.previous.unwrap_or(0));
        record.put_u64(self.time_ms);
        record.put_u32(self.size);
        record.put_u8(match self.kind {
            EventKind::Created => 0,
            EventKind::Updated => 1,
            EventKind::Deleted => 2,
        });
        record.put_u16(u16::try_from(path.len()).expect("keys are at most MAX_KEY long"));
        record.put_slice(path);
        let checksum = xxh3_64(&record[16..]);
        record[8..16].copy_from_slice(&checksum.to_be_bytes());
        record.freeze()
    }

    /// Reads the record that the bytes begin with; `None` when they do not begin with an intact one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; LOG_HEADER] = bytes.first_chunk()?;
        let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let path_length = usize::from(u16::from_be_bytes([header[LOG_HEADER - 2], header[LOG_HEADER - 1]]));
        let checked = bytes.get(16..LOG_HEADER + path_length)?;
        if header[..8] != *MAGIC || xxh3_64(checked) != number(8) {
            return None;
        }
        let previous = number(32);
        Some(Self {
            revision: number(16),
            group: number(24),
            previous: (previous != 0).then_some(previous),
            time_ms: number(40),
            size: u32::from_be_bytes(*header[48..].first_chunk()?),
            kind: match header[52] {
                0 => EventKind::Created,
                1 => EventKind::Updated,
                2 => EventKind::Deleted,
                _ => return None,
            },
            key: Key::parse(std::str::from_utf8(&bytes[LOG_HEADER..LOG_HEADER + path_length]).ok()?)?,
        })
    }
}

/// The intact log records anywhere in foreign bytes.
pub(crate) fn find_log_records(bytes: &[u8]) -> impl Iterator<Item = LogRecord> {
    memchr::memmem::find_iter(bytes, MAGIC).filter_map(|at| LogRecord::decode(&bytes[at..]))
}

#[cfg(test)]
mod tests;
