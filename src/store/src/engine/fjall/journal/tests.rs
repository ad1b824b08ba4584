use super::*;
use crate::engine::fjall::system::Native;
use crate::record::{self, LogRecord};
use crate::{EventKind, Key};
use std::fs;

/// A database of fjall's own, set up as the engine does where journals are concerned.
fn open(directory: &Path) -> (fjall::Database, fjall::Keyspace) {
    let database =
        fjall::Database::builder(directory).journal_compression(fjall::CompressionType::None).open().unwrap();
    let keyspace = database.keyspace("store", fjall::KeyspaceCreateOptions::default).unwrap();
    (database, keyspace)
}

fn newest(directory: &Path) -> Found {
    read(&Native, directory).unwrap().pop().unwrap()
}

/// fjall itself has to write what [`Intact::walk`] understands.
#[test]
fn a_journal_that_fjall_wrote_is_walked_to_its_end() {
    let directory = tempfile::tempdir().unwrap();
    {
        let (database, keyspace) = open(directory.path());
        for revision in 2..30 {
            let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncAll));
            batch.insert(&keyspace, record::log_key(revision), log_record(revision));
            batch.insert(&keyspace, format!("d/{revision}"), vec![7; 100 * revision as usize]);
            batch.remove(&keyspace, format!("d/{}", revision - 1));
            batch.commit().unwrap();
        }
    }
    let Found { bytes, intact, .. } = newest(directory.path());
    assert_eq!(intact.told.logged, Some(29));
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    assert_eq!(intact.end, last + 1);
    assert_eq!(Behind::search(&bytes[intact.end..]), Behind::default());
    // Everything from the middle on counts as evidence when it is not part of whole batches.
    let middle = intact.end / 2;
    let expected = Behind { proven: Some(28), newest: Some(29), length: intact.end - middle };
    assert_eq!(Behind::search(&bytes[middle..]), expected);
}

#[test]
fn evidence_between_zeros_is_found() {
    for (before, after) in [(0, 0), (1, 4095), (4095, 1), (4096, 4096), (5000, 10_000), (1 << 20, 1 << 20)] {
        let bytes = [vec![0; before], log_record(9).to_vec(), vec![0; after]].concat();
        let length = bytes.len() - after;
        assert_eq!(Behind::search(&bytes), Behind { proven: Some(8), newest: Some(9), length });
    }
    assert_eq!(Behind::search(&[0; 10_000]), Behind::default());
}

#[test]
fn a_batch_is_encoded_as_fjall_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = open(directory.path());
    let before = newest(directory.path()).intact.end;
    let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncAll));
    batch.insert(&keyspace, "a", "value");
    batch.remove(&keyspace, "b");
    batch.commit().unwrap();
    let Found { path, intact, .. } = newest(directory.path());
    let written = &fs::read(path).unwrap()[before..intact.end];
    let number = u64::from_le_bytes(written[5..13].try_into().unwrap());
    let id = u64::from_le_bytes(written[16..24].try_into().unwrap());
    let changes = [Change::Put("a".into(), "value".into()), Change::Remove("b".into())];
    let mut bytes = Vec::new();
    encoding::append(&changes, number, id, &mut bytes);
    assert_eq!(bytes, written);
}

fn log_record(revision: Revision) -> bytes::Bytes {
    let record = LogRecord {
        revision,
        group: revision,
        previous: None,
        time_ms: 1,
        size: 100,
        kind: EventKind::Created,
        key: Key::new("", "pods", "default", "a"),
    };
    record.encode()
}
