//! Engines in memory that stand for TiKV in tests of moves, each under its prefix.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use store::tikv::Place;
use store::{CommitError, Engine, Key, OpenError, Options, Peer, Precondition, Store, Value, Write};

use super::place::TikvPlace;
use crate::store::StorePlace;

static ENGINES: Mutex<BTreeMap<String, Engine>> = Mutex::new(BTreeMap::new());

pub(super) fn open(place: &TikvPlace) -> anyhow::Result<Engine> {
    let engines = ENGINES.lock().unwrap();
    engines.get(&place.place().prefix).cloned().context("TiKV is not there")
}

pub(super) fn told(prefix: &str) -> StorePlace {
    let place = Place { endpoints: vec!["pd:1".to_owned()], prefix: prefix.to_owned(), tls: None };
    StorePlace::Tikv { place, peer_port: 0 }
}

pub(super) fn place(prefix: &str) -> TikvPlace {
    TikvPlace::at(told(prefix)).unwrap()
}

pub(super) fn appears(prefix: &str, engine: &Engine) {
    ENGINES.lock().unwrap().insert(prefix.to_owned(), engine.clone());
}

pub(super) async fn join(engine: &Engine) -> Result<Store, OpenError> {
    let here = Ipv4Addr::LOCALHOST;
    Store::join(engine.clone(), Options::default(), Peer { bind: (here, 0).into(), advertise: here.into() })
        .await
}

pub(super) async fn put(store: &Store, name: &str) -> Result<u64, CommitError> {
    let key = Key::new("", "configmaps", "default", name);
    let write = Write::Put(Value::whole(name.to_owned().into()));
    store.commit(key, Precondition::Absent, write).await.map(|committed| committed.entry.revision)
}

/// As a client does that is not told what became of its write, because the owner ended meanwhile: asks again.
pub(super) async fn put_at_last(store: &Store, name: &str) -> u64 {
    loop {
        match put(store, name).await {
            Ok(revision) => return revision,
            Err(CommitError::Exists(entry)) => return entry.revision,
            Err(CommitError::Unknown(_) | CommitError::Unavailable(_)) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Takes the engine away, as if nothing could be reached there.
pub(super) fn vanishes(prefix: &str) {
    ENGINES.lock().unwrap().remove(prefix);
}
