//! What a store that is one of several does with its callers' requests: to the thread of this server if it is the owner,
//! to the owner otherwise, and again where nothing was done because the owner changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::departure::Departure;
use super::fall::Fall;
use super::ledger::{self, Ledger};
use super::link::Forwarded;
use super::member::{Input, Role};
use super::wire::Forward;
use crate::sequencer::{Outcome, Request};
use crate::shared::Shared;
use crate::{Attributes, CommitError, EngineError, ReadError, Revision};

/// How long a write may look for an owner, and a read for the revision that it needs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts, where the role does not change in between.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(crate) struct Membership {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: mpsc::Sender<Input>,
    pub(crate) forwards: mpsc::Sender<Forwarded>,
    pub(crate) role: watch::Receiver<Role>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// The newest reading of the ledger.
    pub(crate) newest: Arc<Mutex<Option<Reading>>>,
}

/// A ledger as it was read, or why it could not be.
pub(crate) struct Reading {
    begun: Instant,
    found: Result<Ledger, String>,
}

impl Membership {
    pub(crate) async fn commit(&self, forward: Forward, attributes: Attributes) -> Outcome {
        let until = Instant::now() + PATIENCE;
        let mut role = self.role.clone();
        loop {
            let now = role.borrow_and_update().clone();
            let outcome = match now {
                Role::Owner(_) => self.commit_here(forward.clone(), attributes.clone()).await,
                Role::Follower(_) => self.commit_there(forward.clone()).await,
                Role::Alone => Err(CommitError::Unavailable("no server owns the order of writes".to_owned())),
                Role::Sealed(departure) if departure.is_over => return Err(CommitError::Moved(departure)),
                Role::Sealed(departure) => Err(CommitError::Unavailable(format!("its {departure}"))),
                Role::Fallen(why) => return Err(CommitError::Poisoned(why.to_string())),
            };
            match outcome {
                Err(CommitError::Unavailable(_)) if Instant::now() < until && !self.is_closed() => {
                    // Either way it is time to try again.
                    drop(tokio::time::timeout(PAUSE, role.changed()).await);
                }
                Err(CommitError::Unavailable(_)) if self.is_closed() => return Err(CommitError::Closed),
                outcome => return outcome,
            }
        }
    }

    async fn commit_here(&self, forward: Forward, attributes: Attributes) -> Outcome {
        let Forward { key, precondition, write } = forward;
        let (answer, outcome) = oneshot::channel();
        let request = Request { key, precondition, write, attributes, answer };
        self.inbox.send(Input::Commit(request)).await.map_err(|_| CommitError::Closed)?;
        outcome.await.unwrap_or_else(|_| Err(CommitError::Unknown("the sequencer has ended".to_owned())))
    }

    /// Asks the owner, and waits until this server has what the answer tells of.
    async fn commit_there(&self, forward: Forward) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let forwarded = Forwarded { forward: forward.clone(), answer };
        self.forwards.send(forwarded).await.map_err(|_| CommitError::Closed)?;
        let answer = answered.await.map_err(|_| {
            CommitError::Unknown(
                "the connection to the server that owns the order of writes has ended".to_owned(),
            )
        })?;
        let (outcome, revision) = answer.outcome(&forward, &self.shared.options);
        if self.wait_for(revision).await.is_err() {
            let cause = format!("it was answered for revision {revision}, which this server cannot read");
            return Err(CommitError::Unknown(cause));
        }
        outcome
    }

    async fn wait_for(&self, revision: Revision) -> Result<(), tokio::time::error::Elapsed> {
        let mut tip = self.shared.follow_tip();
        let waiting = tip.wait_for(|tip| *tip >= revision);
        tokio::time::timeout(PATIENCE, waiting).await.map(drop)
    }

    /// Returns when this server has everything that was answered anywhere before this was asked.
    pub(crate) async fn catch_up(&self) -> Result<(), ReadError> {
        let newest = self.newest_tip().await?;
        if self.shared.tip() < newest {
            // Whoever follows hears of it anyway; this is for one whose connection is down.
            drop(self.inbox.try_send(Input::News));
        }
        self.wait_for(newest)
            .await
            .map_err(|_| ReadError::Engine(format!("this server has not reached revision {newest}")))
    }

    /// The tip as the engine has it, while the newest writes are in this engine.
    async fn newest_tip(&self) -> Result<Revision, ReadError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let ledger = self.newest_ledger().await.map_err(ReadError::Engine)?;
            let Some(departure) = ledger.departure else { return Ok(ledger.tip.revision) };
            // The next write may be somewhere else, and this server would not hear of it.
            if departure.is_over || self.is_closed() || Instant::now() >= until {
                return Err(ReadError::Unavailable(format!("its {departure}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// All who ask while a read is under way share the next one, and its failure: an engine that is silent keeps nobody
    /// waiting for longer than two such reads.
    async fn newest_ledger(&self) -> Result<Ledger, String> {
        let asked = Instant::now();
        let newest = tokio::time::timeout(PATIENCE, self.newest.lock()).await;
        let mut newest = newest.map_err(|_| "it does not answer those who asked before".to_owned())?;
        if let Some(Reading { begun, found }) = &*newest
            && *begun > asked
        {
            return found.clone();
        }
        let (begun, shared) = (Instant::now(), self.shared.clone());
        let read = move || ledger::read(&*shared.engine.snapshot()).map_err(|error| error.to_string());
        let found = tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(error.to_string()));
        *newest = Some(Reading { begun, found: found.clone() });
        found
    }

    /// Stops the writes of all servers; see [`crate::Store::seal`].
    pub(crate) async fn seal(&self, departure: Departure) -> Result<Revision, EngineError> {
        let (answer, sealed) = oneshot::channel();
        let closed = || EngineError::new("the store is closed");
        self.inbox.send(Input::Seal(departure, answer)).await.map_err(|_| closed())?;
        sealed.await.map_err(|_| closed())?
    }

    /// Returns when the state has gone elsewhere for good; never if this server ends before it hears of it.
    pub(crate) async fn departed(&self) -> Departure {
        let gone = |role: &Role| match role {
            Role::Sealed(departure) if departure.is_over => Some(departure.clone()),
            _ => None,
        };
        self.until(gone).await
    }

    /// Returns when this server cannot follow the others any longer.
    pub(crate) async fn fallen(&self) -> Fall {
        let why = |role: &Role| match role {
            Role::Fallen(why) => Some(*why),
            _ => None,
        };
        self.until(why).await
    }

    /// Returns what `wanted` gives for the first role for which it does; never if there is none before this server ends.
    async fn until<T>(&self, wanted: impl Fn(&Role) -> Option<T>) -> T {
        let mut role = self.role.clone();
        loop {
            let found = wanted(&role.borrow_and_update());
            if let Some(found) = found {
                return found;
            }
            if role.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    pub(crate) fn orders_writes(&self) -> bool {
        matches!(*self.role.borrow(), Role::Owner(_))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inbox.is_closed() || self.stopping.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        // An error says that it has ended already.
        drop(self.inbox.send(Input::Stop).await);
    }
}
