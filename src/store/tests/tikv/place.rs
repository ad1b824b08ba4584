//! Where the TiKV is, and a part of it for each test.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use store::tikv::Place;
use store::{Engine, tikv};

/// A prefix that nothing was ever stored under. It begins with `m` because the development server keeps other keys for
/// itself, and takes some that begin with `t` for rows of a table.
pub(crate) fn place() -> Place {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    at(&format!("m/{now}-{}-{number}/", process::id()))
}

pub(crate) fn at(prefix: &str) -> Place {
    let endpoints = std::env::var("COXSWAIN_TIKV_ENDPOINTS")
        .expect("COXSWAIN_TIKV_ENDPOINTS names no TiKV; `hack/tikv up` starts one and prints where it is");
    Place {
        endpoints: endpoints.split(',').map(str::to_owned).collect(),
        prefix: prefix.to_owned(),
        tls: None,
    }
}

pub(crate) fn fresh() -> Engine {
    tikv::open(&place()).unwrap()
}
