use super::*;
use crate::engine::Change;
use bytes::Bytes;
use fjall::Database;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use tables::keyspace_options;

mod endings;

type Model = BTreeMap<Bytes, Bytes>;

/// The engine with layers so small that tables are made all the time.
fn open_small(path: &Path) -> Fjall {
    let mark = Mark::open(&path.join("acknowledged")).unwrap();
    let examined = examine(path, &mark).unwrap();
    let mut engine = open_examined(path, mark, examined).unwrap();
    engine.layer = 20_000;
    engine
}

fn all(snapshot: &dyn Snapshot) -> Model {
    snapshot.scan(b"", b"\xff").map(Result::unwrap).collect()
}

fn random_batch(random: &mut StdRng, model: &mut Model) -> Batch {
    let mut batch = Batch::default();
    let mut keys: Vec<u8> = (0..random.random_range(1..20)).map(|_| random.random_range(0..200)).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let key = Bytes::copy_from_slice(&[b'k', key]);
        if random.random_bool(0.3) {
            model.remove(&key);
            batch.remove(key);
        } else {
            let value = Bytes::from(vec![random.random::<u8>(); random.random_range(0..500)]);
            model.insert(key.clone(), value.clone());
            batch.put(key, value);
        }
    }
    batch
}

/// What was written last is found, whether it is in memory, in a table or in the journal of a process that ended; and a view
/// stays what it was while all that changes below it.
#[test]
fn layers_tables_and_journal_make_one_map() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let mut model = Model::new();
    for _ in 0..5 {
        let engine = open_small(directory.path());
        assert_eq!(all(&*engine.snapshot()), model);
        let mut views = Vec::new();
        for step in 0..300 {
            let durability = if random.random_bool(0.05) { Durability::Synced } else { Durability::Deferred };
            engine.write(random_batch(&mut random, &mut model), durability).unwrap();
            if step % 50 == 0 {
                views.push((engine.snapshot(), model.clone()));
            }
            if step % 120 == 0 {
                views.clear();
            }
        }
        for (view, then) in &views {
            assert_eq!(all(&**view), *then);
            for key in 0..=255 {
                let key = Bytes::copy_from_slice(&[b'k', key]);
                assert_eq!(view.get(&key).unwrap().as_ref(), then.get(&key));
            }
        }
    }
    assert!(
        journal::numbered(&directory.path().join(JOURNAL)).unwrap().last().unwrap().0 > 20,
        "tables were made"
    );
}

#[test]
fn a_finished_file_of_the_journal_has_to_be_whole() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join(JOURNAL);
    let mut segments = Segments::open(&at, |_| {}).unwrap();
    for _ in 0..2 {
        let mut batch = Batch::default();
        batch.put("key", vec![7; 1000]);
        segments.append(&batch).unwrap();
        segments.next().unwrap();
    }
    let mark = Mark::open(&directory.path().join("acknowledged")).unwrap();
    journal::examine(&at, &mark).unwrap();
    let mut found = 0;
    Segments::open(&at, |_| found += 1).unwrap();
    assert_eq!(found, 2);
    let file = std::fs::OpenOptions::new().write(true).open(at.join("0.jnl")).unwrap();
    file.write_all_at(&[8], 500).unwrap();
    let refusal = journal::examine(&at, &mark).unwrap_err().to_string();
    assert!(refusal.contains("0.jnl is damaged at byte 0"), "{refusal}");
}

/// Earlier versions wrote through fjall's own journal.
#[test]
fn what_an_earlier_version_wrote_is_there() {
    let directory = tempfile::tempdir().unwrap();
    {
        let database = Database::builder(directory.path().join("fjall")).open().unwrap();
        let keyspace = database.keyspace("store", keyspace_options).unwrap();
        let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncAll));
        batch.insert(&keyspace, "a", "old");
        batch.insert(&keyspace, "b", "old");
        batch.commit().unwrap();
    }
    let mut expected = Model::from([("a".into(), "old".into()), ("b".into(), "old".into())]);
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..3 {
        let engine = open_small(directory.path());
        assert_eq!(all(&*engine.snapshot()), expected);
        let mut batch = random_batch(&mut random, &mut expected);
        batch.put("a", "new");
        expected.insert("a".into(), "new".into());
        engine.write(batch, Durability::Synced).unwrap();
        for _ in 0..100 {
            engine.write(random_batch(&mut random, &mut expected), Durability::Deferred).unwrap();
        }
        assert_eq!(all(&*engine.snapshot()), expected);
    }
    assert!(
        journal::numbered(&directory.path().join(JOURNAL)).unwrap().last().unwrap().0 > 5,
        "tables were made"
    );
}

#[test]
fn a_table_that_cannot_be_written_ends_all_writing_and_no_reading() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_small(directory.path());
    std::fs::remove_dir_all(directory.path().join("fjall/keyspaces/1/tables")).unwrap();
    let mut written = Model::new();
    let refused = (0..10_000_u32).find_map(|number| {
        let (key, value) = (Bytes::from(number.to_be_bytes().to_vec()), Bytes::from(vec![1; 1000]));
        written.insert(key.clone(), value.clone());
        let changes = vec![Change::Put(key, value)];
        engine.write(Batch { changes, ..Batch::default() }, Durability::Deferred).err()
    });
    assert!(refused.is_some(), "writes go on for ever");
    let found = all(&*engine.snapshot());
    // The last one was refused, before it was written or when it was.
    assert!(
        found.len() == written.len() || found.len() + 1 == written.len(),
        "{} of {}",
        found.len(),
        written.len()
    );
}
