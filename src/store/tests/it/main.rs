//! What the store promises, tested through its public face over the engines of one process, and over a shared one.
//! `tests/tikv` runs the same over TiKV.

#![allow(clippy::unwrap_used)]
// Once per engine is what they are for.
#![allow(clippy::duplicate_mod)]

// Everyone else imports the crate under this name too.
extern crate coxswain_store as store;

#[macro_use]
mod suite;

suite!(over_memory, ".", store::memory::new, crate::support::open_alone);
suite!(over_fjall, ".", crate::support::fresh_fjall, crate::support::open_alone);
suite!(over_shared_memory, ".", store::memory::new, crate::support::join);

mod certificates;
mod cluster;
mod compaction;
mod control;
mod crash;
mod damage;
mod departure;
mod etcd;
mod failure;
mod recovery;
mod skew;
mod snapshot;
mod support;
mod transfer;
