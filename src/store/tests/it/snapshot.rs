//! Saving and restoring through the public face, over both kinds of engine.

use std::io::{Error as IoError, Write as _};
use std::sync::atomic::Ordering;

use store::snapshot::{Error, Passphrase, Reader, Sharing, Summary, restore};
use store::*;

use crate::support::*;

const REVISION: Revision = 2_000_000_000;

async fn saved(store: &Store) -> Vec<u8> {
    store.save(Vec::new(), None).await.unwrap().0
}

fn restored(bytes: &[u8], engine: &Engine, sharing: Sharing) -> Result<Summary, Error> {
    restore(Reader::new(bytes, None)?, engine, sharing, REVISION)
}

async fn check_restored(store: &Store) {
    assert_eq!((store.revision(), store.horizon()), (REVISION, REVISION));
    assert_eq!(names(store.snapshot(&all()).iter()), ["a=4", "c=6"]);
    let a = store.get(&key("a")).unwrap();
    assert_eq!((a.created, &a.bytes), (2, &bytes("2", 4)));
    assert_eq!(&*a.attributes.uid, "/configmaps/default/a {\"v\":\"2\"");
    for before in [1, 6, 1000, REVISION - 1] {
        assert!(matches!(store.list_at(&all(), before, None, 0).await, Err(ReadError::Compacted { .. })));
        let watch = store.watch(all(), before);
        assert!(matches!(watch, Err(WatchError::Compacted { .. })), "a watch from {before} goes on");
    }
    let mut watch = store.watch(all(), REVISION).unwrap();
    assert_eq!(put(store, "b", "2").await, REVISION + 1);
    assert_eq!(events(&take_until(&mut watch, REVISION + 1).await), [format!("+b={}", REVISION + 1)]);
}

#[tokio::test]
async fn a_snapshot_of_any_engine_restores_into_any_other() {
    for (from, joined) in [(memory::new(), false), (fresh_fjall(), false), (memory::new(), true)] {
        let store = if joined { join(&from, options()).await } else { open_alone(&from, options()).await };
        write_some(&store).await;
        let bytes = saved(&store).await;
        store.close().await;

        let directory = tempfile::tempdir().unwrap();
        let engine = fjall::open(directory.path()).unwrap();
        assert_eq!(restored(&bytes, &engine, Sharing::Alone).unwrap().objects, 2);
        drop(engine);
        let store = open_disk(directory.path()).await.unwrap();
        check_restored(&store).await;
        store.close().await;
        let store = open_disk(directory.path()).await.unwrap();
        assert_eq!(store.revision(), REVISION + 1, "it is a store like any other");
        store.close().await;

        let engine = memory::new();
        restored(&bytes, &engine, Sharing::Shared).unwrap();
        let store = join(&engine, options()).await;
        check_restored(&store).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_under_load_is_of_one_moment() {
    let store = open_alone(&fresh_fjall(), options()).await;
    // Each round writes all keys; a snapshot of one moment has at most two rounds in it, in the order of writing.
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for round in 0..400 {
            for name in ["a", "b", "c", "d"] {
                put(&writer, name, &round.to_string()).await;
            }
        }
    });
    while !writing.is_finished() {
        let engine = memory::new();
        restored(&saved(&store).await, &engine, Sharing::Alone).unwrap();
        let copy = open_alone(&engine, options()).await;
        let entries: Vec<_> = copy.snapshot(&all()).iter().cloned().collect();
        let revisions: Vec<_> = entries.iter().map(|entry| entry.revision).collect();
        let newest = revisions.iter().max().copied().unwrap_or(1);
        for entry in &entries {
            assert_eq!(store.get_at(&entry.key, newest).await.unwrap().unwrap(), *entry);
        }
        assert!(revisions.iter().all(|revision| revision + 4 > newest), "{revisions:?}");
        copy.close().await;
    }
    writing.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_target_that_holds_something_is_left_alone() {
    let store = open_alone(&memory::new(), options()).await;
    write_some(&store).await;
    let bytes = saved(&store).await;
    let engine = memory::new();
    let other = open_alone(&engine, options()).await;
    write_some(&other).await;
    other.close().await;
    let error = restored(&bytes, &engine, Sharing::Alone).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error}");
    check_some(&open_alone(&engine, options()).await).await;
}

/// A snapshot of 600 objects: several blocks.
async fn many_saved() -> Vec<u8> {
    let store = open_alone(&memory::new(), options()).await;
    for number in 0..600 {
        put(&store, &format!("n{number:03}"), &"x".repeat(900)).await;
    }
    saved(&store).await
}

#[tokio::test]
async fn a_restore_that_broke_off_opens_as_no_store_and_can_be_done_again() {
    let bytes = many_saved().await;
    for sharing in [Sharing::Alone, Sharing::Shared] {
        let engine = memory::new();
        let error = restored(&bytes[..bytes.len() - 1], &engine, sharing).unwrap_err();
        assert!(matches!(error, Error::CutShort { .. }), "{error}");
        let alone = Store::open(engine.clone(), options()).await.unwrap_err();
        let joined = Store::join(engine.clone(), options(), peer()).await.unwrap_err();
        assert!(matches!((&alone, &joined), (OpenError::Unfinished, OpenError::Unfinished)), "{alone}");
        let report = inspect(&engine).unwrap();
        assert!(report.is_unfinished && report.problems.len() == 1, "{:?}", report.problems);
        assert_eq!(restored(&bytes, &engine, sharing).unwrap().objects, 600);
        let store = match sharing {
            Sharing::Alone => open_alone(&engine, options()).await,
            Sharing::Shared => join(&engine, options()).await,
        };
        assert_eq!(store.snapshot(&all()).len(), 600);
        store.close().await;
    }
}

#[tokio::test]
async fn a_restore_that_broke_off_is_not_repaired_into_a_part_of_a_cluster() {
    let bytes = many_saved().await;
    let directory = tempfile::tempdir().unwrap();
    let engine = fjall::open(directory.path()).unwrap();
    restored(&bytes[..bytes.len() - 1], &engine, Sharing::Alone).unwrap_err();
    drop(engine);
    let refused = fjall::repair(directory.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Unfinished), "{refused}");
    assert_eq!(
        restored(&bytes, &fjall::open(directory.path()).unwrap(), Sharing::Alone).unwrap().objects,
        600
    );
}

#[tokio::test]
async fn of_two_restores_into_a_shared_engine_one_gives_way() {
    let bytes = many_saved().await;
    let engine = memory::new();
    // The other one begins while this one reads its second block.
    let (rival, whole) = (engine.clone(), bytes.clone());
    let mut begun = false;
    let input = Watched {
        bytes: &bytes,
        read: 0,
        at: 400_000.min(bytes.len() / 2),
        then: || {
            assert!(!std::mem::replace(&mut begun, true));
            restored(&whole, &rival, Sharing::Shared).unwrap();
        },
    };
    let error =
        restore(Reader::new(input, None).unwrap(), &engine, Sharing::Shared, REVISION + 7).unwrap_err();
    assert!(matches!(error, Error::Overtaken), "{error}");
    let store = join(&engine, options()).await;
    assert_eq!((store.revision(), store.snapshot(&all()).len()), (REVISION, 600));
    store.close().await;
}

/// Does something once so much was read.
struct Watched<'a, F: FnMut()> {
    bytes: &'a [u8],
    read: usize,
    at: usize,
    then: F,
}

impl<F: FnMut()> std::io::Read for Watched<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let before = self.read;
        let count = self.bytes[before..].len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.bytes[before..before + count]);
        self.read += count;
        if before < self.at && self.read >= self.at {
            (self.then)();
        }
        Ok(count)
    }
}

#[tokio::test]
async fn what_cannot_be_written_ends_the_save_and_not_the_store() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| IoError::other("no space left"))?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    assert!(Full(1).write_all(b"ab").is_err());
    let store = open_alone(&memory::new(), options()).await;
    write_some(&store).await;
    let error = store.save(Full(70), None).await.err().unwrap();
    assert!(error.to_string().contains("no space left"), "{error}");
    assert_eq!(put(&store, "b", "2").await, 7);
    store.close().await;
}

#[tokio::test]
async fn a_record_that_was_damaged_in_the_engine_is_not_saved_as_if_it_were_whole() {
    let engine = memory::new();
    let store = open_alone(&engine, options()).await;
    write_some(&store).await;
    let (name, value) = engine.snapshot().scan(b"d/", b"d0").next().unwrap().unwrap();
    let mut damaged = value.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut batch = engine::Batch::default();
    batch.put(name, damaged);
    engine.write(batch, engine::Durability::Synced).unwrap();
    let error = store.save(Vec::new(), None).await.err().unwrap();
    assert!(matches!(error, Error::DamagedRecord(_)), "{error}");
    store.close().await;
}

#[tokio::test]
async fn an_encrypted_snapshot_restores_with_its_passphrase() {
    let store = open_alone(&memory::new(), options()).await;
    write_some(&store).await;
    let passphrase = Passphrase::new(b"correct horse battery");
    let (bytes, summary) = store.save(Vec::new(), passphrase.clone()).await.unwrap();
    assert_eq!((summary.revision, summary.objects), (6, 2));
    assert!(matches!(Reader::new(&*bytes, None).err(), Some(Error::Encrypted)));
    let engine = memory::new();
    let reader = Reader::new(&*bytes, passphrase.as_ref()).unwrap();
    assert_eq!(restore(reader, &engine, Sharing::Alone, REVISION).unwrap(), summary);
    check_restored(&open_alone(&engine, options()).await).await;
}

#[tokio::test]
async fn a_shared_store_saves_what_any_server_was_answered() {
    let engine = memory::new();
    let (first, second) = (join(&engine, options()).await, join(&engine, options()).await);
    let revision = put(&first, "a", "1").await;
    let (_, summary) = second.save(Vec::new(), None).await.unwrap();
    assert_eq!((summary.revision, summary.objects), (revision, 1));
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn an_engine_in_which_something_was_acknowledged_is_not_empty() {
    let store = open_alone(&memory::new(), options()).await;
    let bytes = saved(&store).await;
    let controlled = Controlled::new();
    controlled.engine.acknowledge(3).unwrap();
    assert!(!controlled.fails.load(Ordering::SeqCst));
    let error = restored(&bytes, &controlled.engine, Sharing::Alone).unwrap_err();
    assert!(error.to_string().contains("revision 3"), "{error}");
    store.close().await;
}
