use super::*;
use crate::engine::Change;
use crate::{EventKind, Key};

/// A database of fjall's own, set up as the engine does where journals are concerned.
fn open(directory: &Path) -> (fjall::Database, fjall::Keyspace) {
    let database =
        fjall::Database::builder(directory).journal_compression(fjall::CompressionType::None).open().unwrap();
    let keyspace = database.keyspace("store", fjall::KeyspaceCreateOptions::default).unwrap();
    (database, keyspace)
}

/// fjall itself has to write what [`walk`] understands.
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
    let (_, path) = numbered(directory.path()).unwrap().pop().unwrap();
    let intact = walk(&path).unwrap();
    assert_eq!(intact.told.logged, Some(29));
    let written = std::fs::read(&path).unwrap();
    let last = written.iter().rposition(|&byte| byte != 0).unwrap();
    assert_eq!(intact.end, last as u64 + 1);
    let behind = search(&path, intact.end).unwrap();
    assert_eq!((behind.proven, behind.end), (None, 0));
    // Everything from the middle on counts as evidence when it is not part of whole batches.
    let behind = search(&path, intact.end / 2).unwrap();
    assert_eq!((behind.proven, behind.end), (Some(28), intact.end - intact.end / 2));
}

#[test]
fn evidence_across_the_steps_of_a_search_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.jnl");
    for before_the_step in 0..200 {
        let mut bytes = vec![0; (1 << 20) - before_the_step];
        bytes.extend(log_record(9));
        std::fs::write(&path, &bytes).unwrap();
        let behind = search(&path, 0).unwrap();
        assert_eq!((behind.proven, behind.end), (Some(8), bytes.len() as u64), "{before_the_step}");
    }
}

#[test]
fn a_batch_is_encoded_as_fjall_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let (database, keyspace) = open(directory.path());
    let (_, path) = numbered(directory.path()).unwrap().pop().unwrap();
    let before = walk(&path).unwrap().end as usize;
    let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncAll));
    batch.insert(&keyspace, "a", "value");
    batch.remove(&keyspace, "b");
    batch.commit().unwrap();
    let after = walk(&path).unwrap().end as usize;
    let written = &std::fs::read(&path).unwrap()[before..after];
    let number = u64::from_le_bytes(written[5..13].try_into().unwrap());
    let id = u64::from_le_bytes(written[16..24].try_into().unwrap());
    let changes = [Change::Put("a".into(), "value".into()), Change::Remove("b".into())];
    assert_eq!(encoding::encode(&changes, number, id), written);
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
