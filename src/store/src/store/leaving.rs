//! The state on its way elsewhere: into a snapshot, or to another engine for good.

use std::io;
use tokio_util::sync::CancellationToken;

use super::{Store, Writes};
use crate::engine::Engine;
use crate::snapshot::{self, Passphrase, Sharing, Summary, Transfer};
use crate::{Departure, EngineError, Fall, Revision};

impl Store {
    /// Writes a snapshot of the newest revision while the store goes on, encrypted if there is a passphrase; gives back what
    /// it was written to. It is called where blocking is allowed and takes one block of memory.
    ///
    /// # Errors
    /// When the store cannot be read, or what is written to fails; what was written until then is no snapshot.
    pub async fn save<W: io::Write + Send + 'static>(
        &self,
        out: W,
        passphrase: Option<Passphrase>,
    ) -> Result<(W, Summary), snapshot::Error> {
        self.catch_up().await?;
        let shared = self.shared.clone();
        let save = move || snapshot::save(&shared, out, passphrase.as_ref());
        let saved = tokio::task::spawn_blocking(save).await;
        saved.unwrap_or_else(|error| Err(snapshot::Error::Ended(error.to_string())))
    }

    /// Copies everything, history included, into an empty engine while the store goes on; see [`Transfer`]. Once it is
    /// cancelled, this and what is done with the transfer later ends soon, and nothing more is written to the target.
    ///
    /// # Errors
    /// When the target is not empty, either engine fails, or it was cancelled. This store is as it was in any case.
    pub async fn transfer(
        &self,
        target: Engine,
        sharing: Sharing,
        cancel: CancellationToken,
    ) -> Result<Transfer, snapshot::Error> {
        self.catch_up().await?;
        Transfer::begin(self.shared.clone(), target, sharing, cancel).await
    }

    /// Stops the writes of all servers that share the engine, because the state leaves it; gives the revision that stays
    /// the newest, up to which this store has everything. Until [`crate::reopen`] or [`crate::conclude`], writes and
    /// linearizable reads wait for a while, then fail and say why.
    ///
    /// # Errors
    /// It may have been done all the same; [`crate::reopen`] makes that certain. An engine that belongs to one process
    /// cannot be sealed: there it is enough to end the store.
    pub async fn seal(&self, departure: Departure) -> Result<Revision, EngineError> {
        match &self.writes {
            Writes::Alone(_) => Err(EngineError::new("the engine belongs to one process")),
            Writes::Joined(joined) => joined.seal(departure).await,
        }
    }

    /// Returns when the state has gone to another engine for good and this server is of no use any more.
    pub async fn departed(&self) -> Departure {
        match &self.writes {
            Writes::Alone(_) => std::future::pending().await,
            Writes::Joined(joined) => joined.departed().await,
        }
    }

    /// Returns when this server cannot follow the others of its cluster any longer: it takes no writes from then on, its
    /// watches end, and what is read of it grows old.
    pub async fn fallen(&self) -> Fall {
        match &self.writes {
            Writes::Alone(_) => std::future::pending().await,
            Writes::Joined(joined) => joined.fallen().await,
        }
    }
}
