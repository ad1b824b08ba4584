//! What an operator has of a damaged store: what is wrong, in words, and a deliberate way on.

use bytes::Bytes;
use std::fs;
use std::time::Duration;
use store::engine::{Batch, Durability};
use store::*;

use crate::recovery::{data, end, flip, journal, log, many_on_disk};
use crate::support::*;

async fn written() -> Engine {
    let engine = memory::new();
    let store = open_alone(&engine, options()).await;
    write_some(&store).await;
    store.close().await;
    engine
}

/// Checks what is said of a store that was changed behind its back.
async fn check(change: impl FnOnce(&mut Batch), expected: &[&str]) {
    let engine = written().await;
    let mut batch = Batch::default();
    change(&mut batch);
    engine.write(batch, Durability::Synced).unwrap();
    let report = inspect(&engine).unwrap();
    assert_eq!(report.wrong, expected.len() as u64, "{:?}", report.problems);
    for (problem, expected) in report.problems.iter().zip(expected) {
        assert!(problem.contains(expected), "{problem} is not {expected}");
    }
}

#[tokio::test]
async fn a_sound_store_is_described() {
    let report = inspect(&written().await).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!((report.revision, report.horizon, report.logged), (6, 1, 5));
    let size = report.resources["/configmaps"];
    assert_eq!((size.objects, size.past), (2, 3));
    assert!(inspect(&memory::new()).unwrap().problems[0].contains("format"));
}

#[tokio::test]
async fn everything_that_is_wrong_is_said() {
    let nonsense = Bytes::from_static(b"something else");
    check(|batch| batch.remove(log(4)), &["revisions 4 to 4 are missing", "revision 4 "]).await;
    check(|batch| batch.remove(data("a", 4)), &["data of revision 4"]).await;
    check(
        |batch| batch.put(data("a", 4), nonsense.clone()),
        &["is not what was written", "data of revision 4"],
    )
    .await;
    check(|batch| batch.put(log(6), nonsense), &["is not what was written", "revision 6", "6 to 6 are lost"])
        .await;
    check(|batch| batch.remove(&b"m/horizon"[..]), &["horizon", "missing"]).await;
    check(|batch| batch.put(&b"m/format"[..], 9_u64.to_be_bytes().to_vec()), &["format 9"]).await;
    check(|batch| batch.put(&b"m/horizon"[..], 4_u64.to_be_bytes().to_vec()), &["compacted"; 4]).await;
}

#[tokio::test]
async fn a_journal_with_a_hole_is_refused_with_what_is_lost_and_repaired_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    many_on_disk(directory.path()).await;
    let path = journal(directory.path());
    flip(&path, end(&path) / 2);
    let refusal = open_disk(directory.path()).await.map(drop).unwrap_err().to_string();
    assert!(refusal.contains(" to 401 ") && refusal.contains("--accept-loss"), "{refusal}");
    let repaired = fjall::repair(directory.path()).unwrap();
    assert_eq!((repaired.found < 401, repaired.objects), (true, 10));
    assert_eq!(repaired.missing, 401 - repaired.found, "what nothing was found of is counted");
    let aside = fs::read_dir(directory.path()).unwrap().map(Result::unwrap);
    assert!(aside.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("torn-")));
    let store = open_disk(directory.path()).await.unwrap();
    assert!(store.revision() > 1_000_000_000, "no client takes what it remembers for the present");
    assert_eq!(store.snapshot(&all()).len(), 10);
    assert!(matches!(store.watch(all(), 401), Err(WatchError::Compacted { .. })));
    assert_eq!(put(&store, "a", "x").await, repaired.revision + 1);
    store.close().await;
    let engine = fjall::open(directory.path()).unwrap();
    assert_eq!(inspect(&engine).unwrap().problems, Vec::<String>::new());
}

/// Of a record that cannot be read the version before it is there again; what was deleted before stays deleted.
#[tokio::test]
async fn damaged_records_are_given_up_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_disk(directory.path()).await.unwrap();
    write_some(&store).await;
    store.close().await;
    let engine = fjall::open(directory.path()).unwrap();
    let mut batch = Batch::default();
    batch.put(data("a", 4), Bytes::from_static(b"something else"));
    engine.write(batch, Durability::Synced).unwrap();
    drop(engine);
    let refusal = open_disk(directory.path()).await.map(drop).unwrap_err();
    assert!(matches!(refusal, OpenError::Damaged(_)), "{refusal}");
    for damaged in [1, 0] {
        let repaired = fjall::repair(directory.path()).unwrap();
        assert_eq!((repaired.objects, repaired.damaged, repaired.missing), (2, damaged, 0));
        let store = open_disk(directory.path()).await.unwrap();
        assert_eq!(names(store.snapshot(&all()).iter()), ["a=2", "c=6"]);
        store.close().await;
    }
}

#[tokio::test]
async fn a_damaged_mark_is_named_and_begun_anew_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    many_on_disk(directory.path()).await;
    fs::write(directory.path().join("acknowledged"), [1; 16]).unwrap();
    let refusal = open_disk(directory.path()).await.map(drop).unwrap_err().to_string();
    assert!(refusal.contains("acknowledged"), "{refusal}");
    fjall::repair(directory.path()).unwrap();
    assert_eq!(open_disk(directory.path()).await.unwrap().snapshot(&all()).len(), 10);
}

#[tokio::test]
async fn the_directory_of_a_newer_fjall_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    many_on_disk(directory.path()).await;
    let version = directory.path().join("fjall/version");
    let mut bytes = fs::read(&version).unwrap();
    *bytes.last_mut().unwrap() = 9;
    fs::write(&version, &bytes).unwrap();
    let before = fs::read(journal(directory.path())).unwrap();
    let refusal = open_disk(directory.path()).await.map(drop).unwrap_err().to_string();
    assert!(refusal.contains("version"), "{refusal}");
    assert!(fs::read(journal(directory.path())).unwrap() == before);
    assert_eq!(fs::read(&version).unwrap(), bytes);
}

#[tokio::test]
async fn a_prefix_that_others_use_is_named() {
    let engine = memory::new();
    let mut batch = Batch::default();
    batch.put("others", "x");
    engine.write(batch, Durability::Synced).unwrap();
    let refusal = Store::join(engine, options(), peer()).await.map(drop).unwrap_err().to_string();
    assert!(refusal.contains("prefix") && refusal.contains("others"), "{refusal}");
}

fn counted(families: &[prometheus::proto::MetricFamily], name: &str) -> f64 {
    let family = families.iter().find(|family| family.get_name() == name).unwrap();
    let metric = &family.get_metric()[0];
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

#[tokio::test(start_paused = true)]
async fn a_record_that_changes_behind_the_stores_back_is_counted() {
    let engine = memory::new();
    let store = open_alone(&engine, Options { comparison: Duration::from_secs(60), ..options() }).await;
    write_some(&store).await;
    let reaches = async |name: &str, wanted: f64| {
        for _ in 0..1000 {
            if counted(&store.metrics().await, name) >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        panic!("{name} does not reach {wanted}");
    };
    reaches("coxswain_store_comparisons_total", 1.0).await;
    assert_eq!(counted(&store.metrics().await, "coxswain_store_differences_total"), 0.0);
    let mut batch = Batch::default();
    batch.remove(data("c", 6));
    engine.write(batch, Durability::Synced).unwrap();
    reaches("coxswain_store_differences_total", 1.0).await;
    // A record that is there and is not what was written, and those of a resource of which memory knows nothing.
    let mut batch = Batch::default();
    batch.put(data("c", 6), "rotten");
    batch.put(data("d", 6), "rotten");
    batch.put([b"d//nodes//n\0".as_slice(), &(!6_u64).to_be_bytes()].concat(), "rotten");
    engine.write(batch, Durability::Synced).unwrap();
    let told = async || {
        let metrics = store.metrics().await;
        ["comparisons", "differences"].map(|what| counted(&metrics, &format!("coxswain_store_{what}_total")))
    };
    // From the end of a round to the end of another: time stands still unless this waits, and it waits between rounds.
    let [comparisons, _] = told().await;
    reaches("coxswain_store_comparisons_total", comparisons + 1.0).await;
    let [comparisons, differences] = told().await;
    reaches("coxswain_store_comparisons_total", comparisons + 3.0).await;
    let [later, found] = told().await;
    assert_eq!(found - differences, 3.0 * (later - comparisons), "each round finds all three, and each once");
    put(&store, "e", "x").await;
    let metrics = store.metrics().await;
    assert_eq!(counted(&metrics, "apiserver_resource_objects"), 3.0);
    assert_eq!(counted(&metrics, "coxswain_store_revision"), 7.0);
    assert_eq!(counted(&metrics, "coxswain_store_writes_total"), 6.0);
}
