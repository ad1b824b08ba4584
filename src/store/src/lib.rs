//! The revision store: everything the cluster remembers, in the order in which it happened.
//!
//! It maps keys to bytes, keeps what they were (for a while), and tells whoever watches what becomes of them. It knows
//! keys, bytes and attributes; it knows no Kubernetes, no HTTP, and neither decodes nor changes what it is given.
//!
//! ```text
//! commit → sequencer: precondition → revision → group → engine batch → one sync → publish → answer
//!                                                                          ├→ current map   (get, snapshot)
//!                                                                          ├→ ring          (list_at, watch: just now)
//!                                                                          └→ fan-out       (live watches)
//! list_at, watch: earlier  ←  history  ←  engine  ←  compaction (forgets)
//! ```
//!
//! One process has the engine ([`Store::open`]), or several share it and are one store ([`Store::join`]): then one of them
//! orders the writes, the others forward to it and follow its log (`cluster`, `docs/decisions/0018`).
//!
//! # Promises
//!
//! - **Revisions** are dense: every write that is done gets the next one, and no other number is ever used. A store that
//!   was never written to is at 1.
//! - **Durable before acknowledged**: when a commit returns, its write has been synced. When it returns
//!   [`CommitError::Unknown`] the write may or may not have been done; after any other error it was not.
//! - **Linearizable**: a precondition is decided against the newest version there is, at the write's place in the order;
//!   whoever was answered, or saw an event, finds that write in every later read. Where several servers are one store, that
//!   holds on the server that answered; on any other after [`Store::catch_up`].
//! - **Lists** at a revision are exact: all of what was there then and nothing else, or [`ReadError::Compacted`]. Each
//!   revision stays readable for [`Options::horizon`], unless the history outgrows [`Options::history_limit`].
//! - **Watches** are *filtered* (events of the range only), *ordered* (by revision), *unique* (each event once),
//!   *atomic* (all writes of a group become visible at the same moment), *reliable* (no event is left out),
//!   *resumable* (from [`Watch::position`], across restarts, within the horizon) and *bookmarkable*
//!   ([`Item::Progress`]). A watcher that takes its events too slowly is cut off; nobody ever waits for it.
//! - **Failure**: killed at any instruction, the store comes back with every acknowledged write and without a half one. A
//!   write that fails in the engine *poisons* it: it is not tried again, and nothing is written until it is reopened.
//! - **Cost** follows what changes: a write costs the same however much is stored, an event costs something for the
//!   watchers of its key, namespace or resource only, a snapshot costs the same however much is in it. Nothing polls; an
//!   idle store wakes for its watches' progress timers.
//!
//! # Damage
//!
//! Opening refuses a store in which something acknowledged is missing. Three things are checked: the log is dense from
//! the horizon to the tip and each of its writes has its version; every record carries its own checksum; and the tip is
//! not older than the engine's acknowledgement mark. The embedded engine adds a look at its journal, of which nothing behind a
//! damaged batch can be used ([`fjall`]): each log record proves that all groups before its own were durable, so a hole
//! shows even where the mark was lost, and an unfinished write at the very end, which nobody was told of, is left out. A
//! refusal leaves the journal as it was; what is accepted is written anew and synced before anybody is shown it.
//!
//! [`inspect`] says everything that is wrong with an engine, [`fjall::repair`] keeps what is whole of it; both are for
//! operators. While the store is open, what it has in memory is compared with the engine now and then
//! ([`Options::comparison`]). How the promises are tested: `simulation`, `testing::history`.
//!
//! What this cannot see:
//!
//! - after a power cut, the loss of acknowledged writes at the journal's very end (a disk that lied about its last syncs)
//!   where neither a later write nor the mark, which is not synced with every write, survived as a proof; in particular
//!   damage to the very last group looks like an unfinished write then;
//! - the deletion of the whole directory, or its replacement by an older copy together with the older mark;
//! - damage that happens while the store is open, until the record is read or compared.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod entry;
mod error;
mod key;
mod options;
mod seal;

mod store;

mod sequencer;
mod shared;

mod cluster;

mod current;
mod fanout;
mod ring;
mod watch;

mod history;
mod record;

pub mod engine;

mod compaction;
mod recovery;

mod beginning;
mod comparison;
mod inspection;
mod metrics;
mod repair;

pub mod snapshot;

#[cfg(test)]
mod simulation;

pub use cluster::Peer;
pub use cluster::departure::{Departure, Settled, conclude, departure, reopen};
pub use cluster::fall::Fall;
pub use cluster::removal::{Remains, Removal, RemovalError};
pub use engine::{Engine, fjall, memory, tikv};
pub use entry::{Attributes, Committed, Entry, Event, EventKind, Precondition, Revision, Value, Write};
pub use error::{CommitError, EngineError, OpenError, ReadError, WatchError};
pub use inspection::{PROBLEMS, Report, Size, inspect};
pub use key::{Key, Range};
pub use options::{Clock, Extract, Options, SystemClock};
pub use repair::Repaired;
pub use seal::{Opened, Seal, Sealed, Sealing, Unsealed};
pub use store::{Page, Snapshot, Store};
pub use watch::{Item, Watch};
