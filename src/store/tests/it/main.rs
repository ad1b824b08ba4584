//! What the store promises, tested through its public face over both engines.

#![allow(clippy::unwrap_used)]

// Everyone else imports the crate under this name too.
extern crate coxswain_store as store;

mod commit;
mod compaction;
mod crash;
mod failure;
mod list;
mod recovery;
mod support;
mod watch;
