//! What a store opened again knows: everything that was acknowledged, or that it does not.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::engine::{Batch, Durability};
use store::*;

use crate::support::*;

#[tokio::test]
async fn a_store_on_disk_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_disk(directory.path()).await.unwrap();
    write_some(&store).await;
    assert!(matches!(fjall::open(directory.path()), Err(OpenError::InUse)));
    store.close().await;
    let store = open_disk(directory.path()).await.unwrap();
    check_some(&store).await;
    store.close().await;
    assert_eq!(open_disk(directory.path()).await.unwrap().revision(), 7);
}

/// Removes or changes one record and says how the store is opened then.
async fn opened_after(change: impl FnOnce(&mut Batch)) -> OpenError {
    let engine = memory::new();
    let store = Store::open(engine.clone(), options()).await.unwrap();
    write_some(&store).await;
    store.close().await;
    let mut batch = Batch::default();
    change(&mut batch);
    engine.write(batch, Durability::Synced).unwrap();
    Store::open(engine, options()).await.map(drop).unwrap_err()
}

pub(crate) fn log(revision: Revision) -> Vec<u8> {
    [b"l/", &revision.to_be_bytes()[..]].concat()
}

pub(crate) fn data(name: &str, revision: Revision) -> Vec<u8> {
    [b"d/", key(name).as_str().as_bytes(), &[0], &(!revision).to_be_bytes()[..]].concat()
}

#[tokio::test]
async fn a_hole_in_the_history_is_found() {
    let error = opened_after(|batch| batch.remove(log(4))).await;
    assert!(matches!(error, OpenError::Hole { .. }), "{error}");
    let error = opened_after(|batch| batch.remove(data("a", 2))).await;
    assert!(matches!(error, OpenError::Hole { .. }), "{error}");
    let error = opened_after(|batch| batch.remove(log(6))).await;
    assert!(matches!(error, OpenError::Hole { .. }), "{error}");
}

#[tokio::test]
async fn acknowledged_writes_lost_at_the_end_are_missed() {
    let error = opened_after(|batch| {
        batch.remove(log(6));
        batch.remove(data("c", 6));
    });
    let error = error.await;
    assert!(matches!(error, OpenError::Lost { recovered: 5, acknowledged: 6, .. }), "{error}");
}

#[tokio::test]
async fn damaged_records_are_found() {
    let error = opened_after(|batch| batch.put(data("a", 2), Bytes::from_static(b"something else"))).await;
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
    let error = opened_after(|batch| batch.put(log(3), Bytes::from_static(b"something else"))).await;
    assert!(matches!(error, OpenError::Hole { .. }), "{error}");
    let error = opened_after(|batch| batch.remove(&b"m/horizon"[..])).await;
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
    let error = opened_after(|batch| batch.remove(&b"m/format"[..])).await;
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
    let error = opened_after(|batch| batch.put(&b"m/format"[..], 9_u64.to_be_bytes().to_vec())).await;
    assert!(matches!(error, OpenError::Format { found: 9, .. }), "{error}");
}

/// A store on disk with 400 writes of one batch each, closed.
pub(crate) async fn many_on_disk(path: &Path) {
    let store = open_disk(path).await.unwrap();
    for step in 0..400 {
        put(&store, &format!("k{}", step % 10), &"x".repeat(200)).await;
    }
    store.close().await;
}

pub(crate) fn journal(path: &Path) -> PathBuf {
    path.join("journal/0.jnl")
}

/// Where the journal's last byte that is not zero is.
pub(crate) fn end(journal: &Path) -> u64 {
    fs::read(journal).unwrap().iter().rposition(|&byte| byte != 0).unwrap() as u64
}

pub(crate) fn flip(journal: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(journal).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

#[tokio::test]
async fn a_hole_in_the_journal_is_found_and_nothing_is_changed_by_finding_it() {
    let directory = tempfile::tempdir().unwrap();
    many_on_disk(directory.path()).await;
    let path = journal(directory.path());
    for at in [end(&path) / 10, end(&path) / 2] {
        // With and without the mark: what is behind the damage is proof enough.
        for marked in [true, false] {
            flip(&path, at);
            let before = fs::read(&path).unwrap();
            let mark = fs::read(directory.path().join("acknowledged")).unwrap();
            if !marked {
                fs::remove_file(directory.path().join("acknowledged")).unwrap();
            }
            for _ in 0..2 {
                let error = fjall::open(directory.path()).map(drop).unwrap_err();
                assert!(matches!(error, OpenError::Lost { .. }), "{error}");
            }
            assert!(fs::read(&path).unwrap() == before, "the evidence is as it was");
            fs::write(directory.path().join("acknowledged"), mark).unwrap();
            flip(&path, at);
        }
    }
    assert_eq!(open_disk(directory.path()).await.unwrap().revision(), 401);
}

#[tokio::test]
async fn a_lost_journal_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    many_on_disk(directory.path()).await;
    for part in ["fjall", "journal"] {
        fs::remove_dir_all(directory.path().join(part)).unwrap();
    }
    let error = open_disk(directory.path()).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Lost { recovered: 1, acknowledged: 401, .. }), "{error}");
    let error = open_disk(directory.path()).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Lost { recovered: 1, acknowledged: 401, .. }), "{error}");
    fs::remove_file(directory.path().join("acknowledged")).unwrap();
    assert_eq!(open_disk(directory.path()).await.unwrap().revision(), 1, "the operator accepts the loss");
}

#[tokio::test]
async fn a_directory_that_was_never_finished_is_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("fjall/keyspaces")).unwrap();
    fs::write(directory.path().join("fjall/0.jnl"), [0; 1000]).unwrap();
    let store = open_disk(directory.path()).await.unwrap();
    assert_eq!(put(&store, "a", "x").await, 2);
    store.close().await;
    fs::remove_file(directory.path().join("fjall/version")).unwrap();
    assert!(open_disk(directory.path()).await.is_err(), "one that was used is not");
    assert!(journal(directory.path()).exists());
}

/// As a power cut leaves it: the last batch not whole, in every way, and the mark older than it.
#[tokio::test]
async fn a_torn_tail_is_dropped_and_the_store_goes_on() {
    let template = tempfile::tempdir().unwrap();
    let store = open_disk(template.path()).await.unwrap();
    for _ in 0..20 {
        put(&store, "a", &"x".repeat(200)).await;
    }
    let whole = end(&journal(template.path())) + 1;
    let mark = fs::read(template.path().join("acknowledged")).unwrap();
    put(&store, "a", &"y".repeat(10_000)).await;
    store.close().await;
    let torn = end(&journal(template.path())) + 1;
    // Cut within the start, an item, a value, and the end; then zeros in the middle, which leave the frame whole.
    let cuts = [whole + 5, whole + 14, whole + 60, whole + 5000, torn - 20, torn - 2];
    let tears =
        cuts.into_iter().map(|at| (at, torn)).chain([(whole + 4096, whole + 8192), (whole, whole + 100)]);
    for (from, to) in tears {
        let directory = tempfile::tempdir().unwrap();
        copy(template.path(), directory.path());
        let file = fs::OpenOptions::new().write(true).open(journal(directory.path())).unwrap();
        file.write_all_at(&vec![0; usize::try_from(to - from).unwrap()], from).unwrap();
        fs::write(directory.path().join("acknowledged"), &mark).unwrap();
        let store = open_disk(directory.path()).await.unwrap();
        assert_eq!(store.revision(), 21, "torn from {from} to {to} behind {whole}");
        assert_eq!(put(&store, "a", "z").await, 22);
        store.close().await;
        assert_eq!(open_disk(directory.path()).await.unwrap().revision(), 22);
    }
}

/// All files of a directory.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// The newest file of the journal says nothing when its first batch is damaged; how far the store came is in the tables.
#[tokio::test]
async fn a_damaged_first_batch_behind_a_rotation_is_missed_and_nothing_is_changed_by_finding_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = open_disk(path).await.unwrap();
    let newest = path.join("journal/1.jnl");
    let mut begun = None;
    while begun.is_none_or(|begun| store.revision() < begun + 3) {
        put(&store, "a", &"x".repeat(50_000)).await;
        begun = begun.or(newest.exists().then(|| store.revision()));
    }
    while journal(path).exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.close().await;
    flip(&newest, 1000);
    let before = files(&path.join("journal"));
    for is_marked in [true, false] {
        if !is_marked {
            fs::remove_file(path.join("acknowledged")).unwrap();
        }
        for _ in 0..2 {
            // As `store check` does, which changes nothing either.
            let engine = fjall::open(path).unwrap();
            assert!(inspect(&engine).unwrap().problems.iter().any(|problem| problem.contains("are lost")));
            drop(engine);
            let refusal = open_disk(path).await.map(drop).unwrap_err();
            assert!(matches!(refusal, OpenError::Lost { .. }), "{refusal}");
        }
        assert!(files(&path.join("journal")) == before, "the evidence is as it was");
        assert!(files(path).keys().all(|path| path.ends_with("acknowledged")), "and nowhere else");
    }
    flip(&newest, 1000);
    open_disk(path).await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            fs::copy(file.path(), target).unwrap();
        }
    }
}
