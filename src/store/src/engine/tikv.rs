//! The shared engine: the keys under one prefix of a TiKV cluster, reached through its transactional client.
//!
//! Several processes have it open, so it writes under a condition only: a transaction reads the condition's key, whose
//! rewriting makes any other transaction of the same moment fail. Every call has a time-out of its own, because the
//! client waits for timestamps without one. What the client reports is sorted strictly: only a write conflict is a
//! refusal, everything else that went wrong while committing is an unknown outcome. It runs on a runtime of its own, so
//! that a busy API does not make it miss its time-outs. It begins no batch anew; but the client sends a request again whose
//! answer was lost, and a batch of one phase leaves no lock by which TiKV would know it: the second one may conflict with
//! the first, so that a refusal of such a batch does not prove that it was not done.

mod client;
mod probe;
mod survey;
mod view;

use bytes::Bytes;
use std::path::PathBuf;
use std::time::Duration;
use tikv_client::Config;

use super::{Acknowledged, Batch, Change, Condition, Durability, Engine, Snapshot, Storage, Written};
use crate::{EngineError, OpenError, Revision};
use client::{Client, Prefix};
use view::View;

pub use survey::{Found, Survey, is_new, survey};

/// Where a TiKV cluster is and what of it is ours.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// `host:port` of the placement drivers (PD); one that answers is enough.
    pub endpoints: Vec<String>,
    /// Begins every key, so that clusters and applications can share a TiKV. No prefix may begin with another.
    pub prefix: String,
    /// Certificates; without them nothing is encrypted.
    pub tls: Option<Tls>,
}

/// Paths of PEM files, read when the engine is opened and whenever a connection is made.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authority that signed the certificates of PD and TiKV.
    pub ca: PathBuf,
    /// Our certificate, signed by an authority that they trust.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How long one call may take. A batch that takes longer has an unknown outcome.
const PATIENCE: Duration = Duration::from_secs(4);
/// The client's own limit of a request; shorter, so that it is the first to know what failed.
const REQUEST: Duration = Duration::from_secs(3);
/// The largest message taken: a page of a scan, whose values may each be as large as a value may be.
const MESSAGE: usize = 256 << 20;

/// Connects to a TiKV cluster; blocks for up to eight seconds, and a few more per PD to find out why none answers.
///
/// # Errors
/// [`OpenError::Engine`] when no PD answers, a certificate is missing or not accepted, or the prefix is empty.
pub fn open(place: &Place) -> Result<Engine, OpenError> {
    if place.prefix.is_empty() {
        return Err(
            EngineError::new("the prefix is empty: every key of the TiKV cluster would be ours").into()
        );
    }
    Ok(Engine::new(Tikv { client: connect(place)?, prefix: Prefix::new(&place.prefix) }))
}

fn connect(place: &Place) -> Result<Client, EngineError> {
    let mut config = Config::default().with_timeout(REQUEST).with_grpc_max_decoding_message_size(MESSAGE);
    if let Some(tls) = &place.tls {
        config = config.with_security(&tls.ca, &tls.certificate, &tls.key);
    }
    Client::connect(place, config)
}

struct Tikv {
    client: Client,
    prefix: Prefix,
}

impl Tikv {
    fn mutations(&self, batch: Batch) -> Vec<(Vec<u8>, Option<Bytes>)> {
        let changes = batch.changes.into_iter().map(|change| match change {
            Change::Put(key, value) => (self.prefix.add(&key), Some(value)),
            Change::Remove(key) => (self.prefix.add(&key), None),
        });
        changes.collect()
    }
}

impl Storage for Tikv {
    fn write(&self, _: Batch, _: Durability) -> Result<(), EngineError> {
        Err(EngineError::new("TiKV is shared: it is written to under a condition only (Store::join)"))
    }

    fn write_if(&self, condition: &Condition, batch: Batch) -> Result<Written, EngineError> {
        let key = self.prefix.add(&condition.key);
        let is_contended = batch.is_contended;
        self.client.write_if(key, condition.expected.clone(), self.mutations(batch), is_contended)
    }

    fn snapshot(&self) -> Box<dyn Snapshot> {
        // A reader relies on the snapshot not being younger than this call, so the moment is fixed here.
        Box::new(View::new(self.client.clone(), self.prefix.clone(), self.client.timestamp()))
    }

    fn acknowledge(&self, _: Revision) -> Result<(), EngineError> {
        // Every batch carries the tip with it, in the record that the batch's condition is about.
        Ok(())
    }

    fn acknowledged(&self) -> Result<Option<Acknowledged>, EngineError> {
        Ok(None)
    }

    fn sync(&self) -> Result<(), EngineError> {
        // What was answered is durable.
        Ok(())
    }

    fn size_in_bytes(&self) -> Result<u64, EngineError> {
        Err(EngineError::new("how much TiKV takes is for PD to tell"))
    }
}
