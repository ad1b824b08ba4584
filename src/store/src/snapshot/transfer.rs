//! A store copied into another engine while it goes on: all versions, the log and the revisions, so that every client and
//! every watch goes on over the copy as if nothing had been.
//!
//! First everything up to one revision, then again and again what was written meanwhile, which gets less each time. For
//! the last bit nobody may write: the store is shut down, the rest copied, and only then does the target become a store.
//! Until that moment it opens as none, and the source is never written to: given up at any point, it is as it was. Work that
//! was begun goes on when its future is dropped: whoever needs the target to rest cancels, and awaits it.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::block::FULL;
use super::restore::{Sharing, Target};
use crate::engine::{Batch, Snapshot};
use crate::recovery::number;
use crate::shared::Shared;
use crate::{Engine, EngineError, Revision, record};

/// A copy that is being made.
pub struct Transfer {
    shared: Arc<Shared>,
    target: Target,
    /// Where the copied history begins.
    horizon: Revision,
    copied: Revision,
    bytes: u64,
    cancel: CancellationToken,
}

impl Transfer {
    pub(crate) async fn begin(
        shared: Arc<Shared>,
        engine: Engine,
        sharing: Sharing,
        cancel: CancellationToken,
    ) -> Result<Self, Error> {
        blocking(move || {
            let copied = shared.tip();
            let snapshot = shared.engine.snapshot();
            let horizon = number(&*snapshot, record::HORIZON_KEY)?.unwrap_or_default();
            let target = Target::begin(&engine, sharing)?;
            let mut transfer = Self { shared, target, horizon, copied, bytes: 0, cancel };
            transfer.copy_all(&*snapshot)?;
            Ok(transfer)
        })
        .await
    }

    /// Everything up to here is copied.
    #[must_use]
    pub fn copied(&self) -> Revision {
        self.copied
    }

    /// Bytes copied.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies what was written since; says how many writes that were.
    ///
    /// # Errors
    /// [`Error::TooSlow`], [`Error::Overtaken`], [`Error::Engine`] and [`Error::GivenUp`]: the transfer is given up.
    pub async fn catch_up(mut self) -> Result<(Self, u64), Error> {
        blocking(move || {
            let before = self.copied;
            self.copy_log()?;
            let writes = self.copied - before;
            Ok((self, writes))
        })
        .await
    }

    /// Copies the rest and makes the target a store of the same revision, which it gives. To be called after the store was
    /// shut down: what it accepts later is not in the copy.
    ///
    /// # Errors
    /// As [`Transfer::catch_up`]; the target may be a store only if the last batch's outcome is unknown.
    pub async fn finish(mut self) -> Result<Revision, Error> {
        blocking(move || {
            self.copy_log()?;
            self.target.finish(self.horizon, self.copied)?;
            Ok(self.copied)
        })
        .await
    }

    fn copy_all(&mut self, snapshot: &dyn Snapshot) -> Result<(), Error> {
        let mut stretch = Stretch::default();
        for pair in snapshot.scan(record::DATA.0, record::DATA.1) {
            let (name, value) = pair?;
            let (_, revision) = record::parse_data_key(&name).ok_or_else(|| damaged(&name))?;
            record::decode_data(&value, revision).ok_or_else(|| damaged(&name))?;
            // What the engine has beyond comes with the log.
            if revision <= self.copied {
                stretch.put(self, name, value)?;
            }
        }
        let (from, to) = record::log_after(self.horizon);
        for (revision, pair) in (self.horizon + 1..=self.copied).zip(snapshot.scan(&from, to)) {
            let (name, value) = pair?;
            if name != record::log_key(revision) {
                return Err(
                    EngineError::new(format!("the log record of revision {revision} is missing")).into()
                );
            }
            stretch.put(self, name, value)?;
        }
        stretch.write(self)
    }

    /// Everything behind what is copied, up to what is published now.
    fn copy_log(&mut self) -> Result<(), Error> {
        let tip = self.shared.tip();
        let shared = self.shared.clone();
        let snapshot = shared.engine.snapshot();
        let horizon = number(&*snapshot, record::HORIZON_KEY)?.unwrap_or_default();
        if horizon > self.copied {
            return Err(Error::TooSlow { copied: self.copied, horizon });
        }
        let mut stretch = Stretch::default();
        let mut failure = None;
        let history = shared.history(&*snapshot);
        history.log(self.copied, |log| {
            if log.revision > tip {
                return Ok(ControlFlow::Break(()));
            }
            let name = record::data_key(&log.key, log.revision);
            let written = match snapshot.get(&name)? {
                Some(value) if record::decode_data(&value, log.revision).is_some() => stretch
                    .put(self, name, value)
                    .and_then(|()| stretch.put(self, record::log_key(log.revision), log.encode())),
                _ => Err(damaged(&name)),
            };
            failure = written.err();
            Ok(if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        stretch.write(self)?;
        self.copied = tip.max(self.copied);
        Ok(())
    }
}

/// Records that go to the target together.
#[derive(Default)]
struct Stretch {
    batch: Batch,
    bytes: usize,
}

impl Stretch {
    fn put(&mut self, transfer: &mut Transfer, name: Bytes, value: Bytes) -> Result<(), Error> {
        let size = name.len() + value.len();
        if self.bytes > 0 && self.bytes + size > FULL {
            self.write(transfer)?;
        }
        self.bytes += size;
        self.batch.put(name, value);
        Ok(())
    }

    fn write(&mut self, transfer: &mut Transfer) -> Result<(), Error> {
        if transfer.cancel.is_cancelled() {
            return Err(Error::GivenUp);
        }
        transfer.target.write(std::mem::take(&mut self.batch))?;
        transfer.bytes += std::mem::take(&mut self.bytes) as u64;
        Ok(())
    }
}

fn damaged(name: &[u8]) -> Error {
    Error::DamagedRecord(name.escape_ascii().to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Ended(error.to_string())))
}
