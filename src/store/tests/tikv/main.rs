//! What the store promises, over a TiKV that COXSWAIN_TIKV_ENDPOINTS names (`hack/tikv up` starts one and prints it).

#![allow(clippy::unwrap_used)]

extern crate coxswain_store as store;

#[macro_use]
#[path = "../it/suite.rs"]
mod suite;

suite!(over_tikv, "../it", crate::place::fresh, crate::support::join);

mod engine;
mod kill;
mod partition;
mod place;
mod removal;
#[path = "../it/support.rs"]
#[allow(dead_code, unused_imports)] // Other engines' tests use the rest.
mod support;
