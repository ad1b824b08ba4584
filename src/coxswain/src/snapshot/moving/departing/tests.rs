//! A move that is killed behind each of its steps, over an engine in memory that stands for TiKV.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use store::tikv::Place;
use store::{
    CommitError, Engine, Key, OpenError, Options, Peer, Precondition, Store, Value, Write, fjall, memory,
};

use super::{Departing, INCOMING, settle};
use crate::snapshot::moving::place::{TikvPlace, follow};
use crate::snapshot::moving::word::Intent;
use crate::store::StorePlace;

static ENGINES: Mutex<BTreeMap<String, Engine>> = Mutex::new(BTreeMap::new());

fn open(place: &TikvPlace) -> anyhow::Result<Engine> {
    let engines = ENGINES.lock().unwrap();
    engines.get(&place.place().prefix).cloned().context("TiKV is not there")
}

fn told(prefix: &str) -> StorePlace {
    let place = Place { endpoints: vec!["pd:1".to_owned()], prefix: prefix.to_owned(), tls: None };
    StorePlace::Tikv { place, peer_port: 0 }
}

fn place(prefix: &str) -> TikvPlace {
    TikvPlace::at(told(prefix)).unwrap()
}

fn appears(prefix: &str, engine: &Engine) {
    ENGINES.lock().unwrap().insert(prefix.to_owned(), engine.clone());
}

async fn join(engine: &Engine) -> Result<Store, OpenError> {
    let here = Ipv4Addr::LOCALHOST;
    Store::join(engine.clone(), Options::default(), Peer { bind: (here, 0).into(), advertise: here.into() })
        .await
}

async fn put(store: &Store, name: &str) -> Result<u64, CommitError> {
    let key = Key::new("", "configmaps", "default", name);
    let write = Write::Put(Value::whole(name.to_owned().into()));
    store.commit(key, Precondition::Absent, write).await.map(|committed| committed.entry.revision)
}

/// As many steps of a move as the process lives for.
async fn move_until_killed(data: &Path, prefix: &str, store: &Store, steps: usize) {
    let departing = Departing::intend(data, place(prefix), "server-1", open).unwrap();
    if steps == 0 {
        return;
    }
    let transfer = departing.copy(store).await.unwrap();
    put(store, "meanwhile").await.unwrap();
    if steps == 1 {
        return;
    }
    let newest = departing.seal(store).await.unwrap();
    if steps == 2 {
        return;
    }
    store.shutdown().await;
    departing.finish(transfer, newest).await.unwrap();
    if steps == 3 {
        return;
    }
    departing.leave_word().unwrap();
    if steps == 4 {
        return;
    }
    departing.settle().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_behind_any_step_the_state_is_on_one_side_with_everything_and_on_one_only() {
    for steps in 0..=5 {
        let (folder, prefix, engine) = (tempfile::tempdir().unwrap(), format!("k{steps}/"), memory::new());
        let data = folder.path();
        appears(&prefix, &engine);
        let (store, other) = (join(&engine).await.unwrap(), join(&engine).await.unwrap());
        for number in 0..20 {
            put(&store, &format!("before-{number}")).await.unwrap();
        }
        move_until_killed(data, &prefix, &store, steps).await;
        drop(store);

        settle(data, open).await.unwrap();
        settle(data, open).await.unwrap();
        assert_eq!(Intent::read(data).unwrap(), None, "after step {steps}");
        assert!(!data.join(INCOMING).exists(), "after step {steps}");
        let expected = 21 + u64::from(steps > 0);
        match follow(data, told(&prefix)).unwrap() {
            StorePlace::Tikv { .. } => {
                assert!(steps < 4);
                assert_eq!(put(&other, "after").await.unwrap(), expected + 1, "after step {steps}");
                // It may be tried again.
                move_until_killed(data, &prefix, &other, 0).await;
            }
            StorePlace::Embedded => {
                assert!(steps >= 4);
                let copy =
                    Store::open(fjall::open(data.join("store")).unwrap(), Options::default()).await.unwrap();
                assert_eq!(put(&copy, "after").await.unwrap(), expected + 1, "after step {steps}");
                let departure = other.departed().await;
                assert!(departure.to.contains("of server-1"), "{departure}");
                assert!(matches!(put(&other, "late").await, Err(CommitError::Moved(_))));
                assert!(matches!(join(&engine).await.map(drop), Err(OpenError::Moved(_))));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tikv_cannot_be_reached_a_move_that_arrived_goes_on_and_another_waits() {
    for steps in [2, 4] {
        let (folder, prefix, engine) = (tempfile::tempdir().unwrap(), format!("u{steps}/"), memory::new());
        let data = folder.path();
        appears(&prefix, &engine);
        let store = join(&engine).await.unwrap();
        move_until_killed(data, &prefix, &store, steps).await;
        ENGINES.lock().unwrap().remove(&prefix);
        assert_eq!(settle(data, open).await.is_ok(), steps == 4, "after step {steps}");
        assert!(Intent::read(data).unwrap().is_some(), "what is left to do is remembered");
        appears(&prefix, &engine);
        settle(data, open).await.unwrap();
        let departure = store::departure(&engine).unwrap();
        assert_eq!(departure.map(|departure| departure.is_over), (steps == 4).then_some(true));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_another_store_is_left_alone() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
    let data = folder.path();
    appears("o/", &engine);
    std::fs::create_dir(data.join("store")).unwrap();
    std::fs::write(data.join("store/acknowledged"), "").unwrap();
    let refusal = Departing::intend(data, place("o/"), "server-1", open).map(drop).unwrap_err().to_string();
    assert!(refusal.contains("holds another store"), "{refusal}");
    assert_eq!(Intent::read(data).unwrap(), None);
}
