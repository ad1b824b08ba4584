//! fjall's files, of which one is missing or damaged.

use super::endings::{put, wait_until};
use super::*;
use std::fs;

/// All files below a directory.
fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()) {
        found.extend(if path.is_dir() { below(&path) } else { vec![path] });
    }
    found.sort();
    found
}

/// fjall removes tables that it does not know how it came by.
#[test]
fn tables_without_what_names_them_are_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (mut random, mut model) = (StdRng::seed_from_u64(4), Model::new());
    let engine = open_small(directory.path());
    while numbered(&directory.path().join(JOURNAL)).first().is_none_or(|oldest| oldest.0 == 0) {
        engine.write(random_batch(&mut random, &mut model), Durability::Deferred).unwrap();
    }
    engine.sync().unwrap();
    drop(engine);
    let before = below(directory.path());
    for part in ["version", "0.jnl", "keyspaces/0/current", "keyspaces/1/current"] {
        let (path, away) = (directory.path().join("fjall").join(part), directory.path().join("away"));
        fs::rename(&path, &away).unwrap();
        let refusal = open(directory.path()).map(drop).unwrap_err();
        assert!(matches!(&refusal, OpenError::Damaged(found) if found.contains(part)), "{refusal}");
        fs::rename(&away, &path).unwrap();
        assert_eq!(below(directory.path()), before);
    }
    assert_eq!(all(&*open_small(directory.path()).snapshot()), model);
}

#[test]
fn a_damaged_table_is_called_so() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_small(directory.path());
    engine.write(put("key", vec![1; 30_000]), Durability::Synced).unwrap();
    wait_until(|| numbered(&directory.path().join(JOURNAL))[0].0 == 1);
    drop(engine);
    let table = below(&directory.path().join("fjall/keyspaces/1/tables")).pop().unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[20..100].fill(7);
    fs::write(table, bytes).unwrap();
    let refusal = match open(directory.path()) {
        Err(refusal) => refusal.to_string(),
        Ok(engine) => engine.snapshot().get(b"key").unwrap_err().to_string(),
    };
    assert!(refusal.contains("a table of the store is damaged"), "{refusal}");
}
