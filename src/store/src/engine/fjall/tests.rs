use super::*;
use crate::engine::{Batch, Change, Durability, Snapshot, Storage};
use bytes::Bytes;
use fjall::Database;
use journal::segments::Segments;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tables::{Tables, keyspace_options};

mod damage;
mod endings;

type Model = BTreeMap<Bytes, Bytes>;

/// The engine with layers so small that tables are made all the time.
fn open_small(path: &Path) -> Embedded<Native, FjallTables> {
    let sizes = Sizes { layer: 20_000, ..Sizes::default() };
    Embedded::open(Native, path, sizes, tables_in(path)).unwrap()
}

/// The files of a journal, oldest first.
fn numbered(journal: &Path) -> Vec<(u64, PathBuf)> {
    journal::numbered(&Native, journal).unwrap()
}

/// A journal that nobody has written to.
fn begin(journal: &Path) -> Segments<Native> {
    Segments::open(Native, journal, Sizes::default().stretch, None)
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
    assert!(numbered(&directory.path().join(JOURNAL)).last().unwrap().0 > 20, "tables were made");
}

#[test]
fn a_finished_file_of_the_journal_has_to_be_whole() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join(JOURNAL);
    let mut segments = begin(&at);
    for _ in 0..2 {
        let mut batch = Batch::default();
        batch.put("key", vec![7; 1000]);
        segments.append(&batch).unwrap();
        segments.next().unwrap();
    }
    let mark = Mark::open(&Native, &directory.path().join(MARK)).unwrap();
    let mut found = 0;
    for file in journal::examine(&Native, &at, &mark).unwrap().files {
        file.replay(|changes| found += changes.len());
    }
    assert_eq!(found, 2);
    let foreign = journal::examine_foreign(&Native, &at, &mark).unwrap();
    assert_eq!(foreign.files.iter().map(|file| file.number).collect::<Vec<_>>(), [2], "no more is in memory");
    let file = std::fs::OpenOptions::new().write(true).open(at.join("0.jnl")).unwrap();
    file.write_all_at(&[8], 500).unwrap();
    for examine in [journal::examine::<Native>, journal::examine_foreign] {
        let refusal = examine(&Native, &at, &mark).unwrap_err().to_string();
        assert!(refusal.contains("0.jnl is damaged at byte 0"), "{refusal}");
    }
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
    assert!(numbered(&directory.path().join(JOURNAL)).last().unwrap().0 > 5, "tables were made");
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

/// Tables with a bug.
#[derive(Clone)]
struct Panicking;

impl Tables for Panicking {
    type Snapshot = imbl::OrdMap<Bytes, Bytes>;

    fn snapshot(&self) -> Self::Snapshot {
        imbl::OrdMap::new()
    }

    fn ingest(&self, _: &imbl::OrdMap<Bytes, Option<Bytes>>) -> Result<(), EngineError> {
        panic!("a bug in the tables")
    }

    fn wait_for_merges(&self, _: impl Fn() -> bool) -> Result<(), EngineError> {
        Ok(())
    }

    fn settle(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn is_unsettled(&self) -> bool {
        false
    }

    fn moment(&self) -> u64 {
        0
    }

    fn release(&self, _: u64) {}
}

/// Nobody waits for a thread that has ended.
#[test]
fn a_panic_where_tables_are_written_ends_all_writing_with_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let sizes = Sizes { layer: 20_000, ..Sizes::default() };
    let engine = Embedded::open(Native, directory.path(), sizes, |_| Ok(Panicking)).unwrap();
    let (mut random, mut model) = (StdRng::seed_from_u64(6), Model::new());
    let mut write = || engine.write(random_batch(&mut random, &mut model), Durability::Deferred);
    let refusal = (0..10_000).find_map(|_| write().err()).expect("writing goes on for ever");
    assert!(refusal.to_string().contains("panicked"), "{refusal}");
}
