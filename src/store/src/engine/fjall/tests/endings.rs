//! What a process that ended, a repair and an earlier version leave behind, and what is made of it.

use super::*;
use fjall::compaction::Leveled;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};
use tables::CROWD;

pub(super) fn put(key: &'static str, value: impl Into<Bytes>) -> Batch {
    Batch { changes: vec![Change::Put(key.into(), value.into())], ..Batch::default() }
}

fn numbers(journal: &Path) -> Vec<u64> {
    numbered(journal).into_iter().map(|(number, _)| number).collect()
}

fn torn(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("torn-")).collect();
    names.sort();
    names
}

/// Waits for something that happens in the background.
pub(super) fn wait_until(happened: impl Fn() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(started.elapsed() < Duration::from_secs(120), "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A file that a failed sync left is not synced again but written anew: the kernel may take it for written.
#[test]
fn what_was_found_is_adopted_by_the_first_sync_and_left_alone_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(JOURNAL).join("0.jnl");
    let engine = open_small(directory.path());
    engine.write(put("a", "old"), Durability::Deferred).unwrap();
    drop(engine);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    bytes[end..end + 3].copy_from_slice(b"\x01to");
    fs::write(&path, &bytes).unwrap();
    let found = fs::metadata(&path).unwrap().ino();

    let engine = open_small(directory.path());
    assert_eq!(all(&*engine.snapshot()), Model::from([("a".into(), "old".into())]));
    assert_eq!(fs::metadata(&path).unwrap().ino(), found);
    assert!(fs::read(&path).unwrap() == bytes && torn(directory.path()).is_empty(), "nothing is changed");
    engine.sync().unwrap();
    assert_ne!(fs::metadata(&path).unwrap().ino(), found, "it is another file");
    assert!(fs::read(&path).unwrap() == bytes[..end], "with the whole batches");
    let [copy] = &torn(directory.path())[..] else { panic!("one part is set aside") };
    assert_eq!(fs::read(directory.path().join(copy)).unwrap(), b"\x01to");
    let adopted = fs::metadata(&path).unwrap().ino();
    engine.write(put("a", "new"), Durability::Synced).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), adopted, "once");
    drop(engine);
    assert_eq!(all(&*open_small(directory.path()).snapshot()), Model::from([("a".into(), "new".into())]));
}

#[test]
fn what_was_to_be_adopted_goes_with_an_engine_that_does_not_adopt_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join(JOURNAL);
    let (found, new) = (journal.join("0.jnl"), journal.join("adopted"));
    open_small(directory.path()).write(put("a", "1"), Durability::Synced).unwrap();
    drop(open_small(directory.path()));
    assert!(!new.exists(), "nobody wrote");
    let engine = open_small(directory.path());
    fs::remove_file(&found).unwrap();
    fs::create_dir(&found).unwrap();
    engine.sync().unwrap_err();
    drop(engine);
    assert!(!new.exists(), "it could not be adopted");
}

/// Killed when a table was made and the files of the journal that it repeats were not, or not all, removed.
#[test]
fn a_file_of_the_journal_that_repeats_a_table_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, kept) = (directory.path().join(JOURNAL), directory.path().join("kept"));
    fs::create_dir(&kept).unwrap();
    let (mut random, mut model) = (StdRng::seed_from_u64(11), Model::new());
    let engine = open_small(directory.path());
    while numbers(&journal).last().is_none_or(|newest| *newest < 8) {
        engine.write(random_batch(&mut random, &mut model), Durability::Deferred).unwrap();
        for (number, path) in numbered(&journal) {
            let link = kept.join(number.to_string());
            // Unless it went in between; then an older one is put back.
            if !link.exists() && fs::hard_link(path, &link).is_err() {
                assert!(!link.exists());
            }
        }
    }
    wait_until(|| numbers(&journal)[0] >= 6);
    drop(engine);
    for _ in 0..4 {
        let oldest = numbers(&journal)[0];
        if oldest == 0 || !kept.join((oldest - 1).to_string()).exists() {
            break;
        }
        let again = journal.join(format!("{}.jnl", oldest - 1));
        fs::hard_link(kept.join((oldest - 1).to_string()), again).unwrap();
        assert_eq!(all(&*open_small(directory.path()).snapshot()), model);
    }
    assert!(numbers(&journal)[0] < 6, "some were put back");
    let engine = open_small(directory.path());
    engine.write(random_batch(&mut random, &mut model), Durability::Synced).unwrap();
    wait_until(|| numbers(&journal).len() == 1);
    assert_eq!(all(&*engine.snapshot()), model);
    drop(engine);
    assert_eq!(all(&*open_small(directory.path()).snapshot()), model);
}

/// A journal of files with one batch each, the last of which has one, too.
fn files(journal: &Path, count: usize) {
    let mut segments = begin(journal);
    for number in 0..count {
        segments.append(&put("key", vec![u8::try_from(number).unwrap(); 1000])).unwrap();
        if number + 1 < count {
            segments.next().unwrap();
        }
    }
}

#[test]
fn a_missing_file_between_others_is_refused_by_name_and_given_up_with_all_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join(JOURNAL);
    files(&journal, 4);
    fs::remove_file(journal.join("1.jnl")).unwrap();
    let before = fs::read(journal.join("3.jnl")).unwrap();
    let refusal = open(directory.path()).map(drop).unwrap_err();
    assert!(matches!(&refusal, OpenError::Damaged(found) if found.contains("1.jnl is missing")), "{refusal}");
    assert!(fs::read(journal.join("3.jnl")).unwrap() == before && torn(directory.path()).is_empty());

    journal::aside::give_up(&Native, &journal, directory.path()).unwrap();
    assert_eq!(numbers(&journal), [0]);
    assert_eq!(torn(directory.path()), ["torn-2.jnl-0-0", "torn-3.jnl-0-0"]);
    assert_eq!(all(&*open_small(directory.path()).snapshot())[b"key".as_slice()], vec![0; 1000]);
}

#[test]
fn what_lies_behind_a_damage_is_given_up_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join(JOURNAL);
    files(&journal, 3);
    let damaged = fs::OpenOptions::new().write(true).open(journal.join("1.jnl")).unwrap();
    damaged.write_all_at(&[8], 500).unwrap();
    journal::aside::give_up(&Native, &journal, directory.path()).unwrap();
    assert_eq!(numbers(&journal), [0, 1]);
    assert_eq!(torn(directory.path()), ["torn-1.jnl-0-0", "torn-2.jnl-0-0"]);
    assert_eq!(all(&*open_small(directory.path()).snapshot())[b"key".as_slice()], vec![0; 1000]);
}

/// The batch that fills a layer is durable before the next file is begun.
#[test]
fn a_file_that_cannot_be_begun_fails_the_next_write_and_not_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_small(directory.path());
    engine.write(put("a", "1"), Durability::Synced).unwrap();
    let blocker = directory.path().join(JOURNAL).join("1.jnl");
    fs::create_dir(&blocker).unwrap();
    engine.write(put("b", vec![1; 30_000]), Durability::Synced).unwrap();
    assert!(engine.write(put("c", "3"), Durability::Synced).is_err());
    assert!(engine.sync().is_err(), "nor does a later sync say that all is well");
    drop(engine);
    fs::remove_dir(blocker).unwrap();
    let found = all(&*open_small(directory.path()).snapshot());
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
}

/// fjall merges when it is asked, and as it opens it may find nothing to do.
#[test]
fn tables_that_nobody_merges_stop_no_write() {
    let directory = tempfile::tempdir().unwrap();
    {
        // fjall remembers how a keyspace is merged.
        let never = || {
            let strategy = Leveled::default().with_l0_threshold(u8::MAX);
            keyspace_options().compaction_strategy(Arc::new(strategy))
        };
        let database = Database::builder(directory.path().join("fjall")).open().unwrap();
        let keyspace = database.keyspace("store", never).unwrap();
        for number in 0..CROWD + 5 {
            let mut table = keyspace.start_ingestion().unwrap();
            table.write("key", vec![u8::try_from(number).unwrap(); 10]).unwrap();
            table.finish().unwrap();
        }
        assert!(keyspace.l0_table_count() >= CROWD);
    }
    let engine = open_small(directory.path());
    engine.write(put("key", vec![1; 30_000]), Durability::Synced).unwrap();
    engine.write(put("other", "2"), Durability::Synced).unwrap();
    wait_until(|| numbers(&directory.path().join(JOURNAL)) == [1]);
}

/// Earlier versions wrote through fjall's own journal, which nobody examines any more once there is one of ours.
#[test]
fn what_an_earlier_version_wrote_is_in_tables_before_there_is_a_journal_of_ours() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    {
        let database = Database::builder(directory.path().join("fjall")).open().unwrap();
        let keyspace = database.keyspace("store", keyspace_options).unwrap();
        for number in 0..3000_u32 {
            let mut batch = database.batch().durability(Some(fjall::PersistMode::Buffer));
            let (key, value) = ((number % 700).to_be_bytes().to_vec(), vec![7; 1 + number as usize % 900]);
            batch.insert(&keyspace, key.clone(), value.clone());
            model.insert(key.into(), value.into());
            batch.commit().unwrap();
        }
    }
    // Looking changes nothing that matters: there is no journal of ours yet.
    assert_eq!(all(&*open_small(directory.path()).snapshot()), model);
    assert!(!directory.path().join(JOURNAL).exists());
    let engine = open_small(directory.path());
    engine.sync().unwrap();
    let mut random = StdRng::seed_from_u64(3);
    engine.write(random_batch(&mut random, &mut model), Durability::Synced).unwrap();
    drop(engine);
    for (_, journal) in numbered(&directory.path().join("fjall")) {
        let length = usize::try_from(fs::metadata(&journal).unwrap().len()).unwrap();
        fs::write(journal, vec![0; length]).unwrap();
    }
    let engine = open_small(directory.path());
    assert_eq!(all(&*engine.snapshot()), model);
    for _ in 0..200 {
        engine.write(random_batch(&mut random, &mut model), Durability::Deferred).unwrap();
    }
    wait_until(|| numbers(&directory.path().join(JOURNAL))[0] > 3);
    assert_eq!(all(&*engine.snapshot()), model);
    drop(engine);
    assert_eq!(all(&*open_small(directory.path()).snapshot()), model);
}
