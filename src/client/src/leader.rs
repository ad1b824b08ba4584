//! Leader election by Lease, exactly as client-go's, so that ours and stock components take turns at one lease (upstream
//! `client-go/tools/leaderelection`).
//!
//! Who holds the lease works and renews it; whoever else wants it looks again every few seconds and takes it once the
//! holder has let go, or has not renewed it for its whole duration by the clock of *this* machine: clocks of different
//! machines are never compared. A holder that cannot renew stops working before the lease ends for the others.

mod record;
mod standing;

use std::{fmt, future::Future, pin::pin, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use rand::Rng;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use self::standing::Standing;
use self::{record::Observed, standing::Candidacy};
use crate::{EventType, Recorder, reference};

/// Waiting candidates look again after the retry period and up to so much of it more.
const JITTER: f64 = 1.2;
const REASON: &str = "LeaderElection";

/// How long a leader may be silent, in which order of sizes: `lease > renew > retry`.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// So long after the last renewal others leave the lease alone; whole seconds.
    pub lease: Duration,
    /// So long a leader tries to renew before it stops working.
    pub renew: Duration,
    /// How often it renews, and how often others look.
    pub retry: Duration,
}

/// Upstream's defaults.
impl Default for Terms {
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// What a component needs to stand for election.
#[derive(Clone)]
pub struct Election {
    /// Reads and writes the lease.
    pub client: Client,
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name; all that stand for the same one take turns.
    pub name: String,
    /// Who stands. No two candidates may have the same, or both would believe to lead.
    pub identity: String,
    /// How long things take.
    pub terms: Terms,
    /// Tells users who leads.
    pub recorder: Recorder,
    /// Tells health checks how it stands.
    pub standing: Standing,
}

/// The lease could not be renewed in time: somebody else may lead.
#[derive(Debug, thiserror::Error)]
#[error("the lease {0} could not be renewed in time")]
pub struct Lost(String);

impl Election {
    /// Waits until elected, then does `work` for as long as the lease is held. `work` ends when the token that it is given
    /// is cancelled (by `cancel`, or since the lease was lost); while it ends the lease is still renewed. Afterwards the
    /// lease is let go, so that the next one need not wait.
    ///
    /// # Errors
    /// The lease was lost. `work` was then told to end, and dropped if it had not by the time others may lead.
    pub async fn lead<Fut>(
        &self,
        cancel: CancellationToken,
        work: impl FnOnce(CancellationToken) -> Fut,
    ) -> Result<(), Lost>
    where
        Fut: Future<Output = ()>,
    {
        let mut candidate = Candidate::new(self);
        if cancel.run_until_cancelled(candidate.acquire()).await.is_none() {
            return Ok(());
        }
        candidate.report("became leader");
        let term = cancel.child_token();
        let _ends_with_the_term = term.clone().drop_guard();
        let mut work = pin!(work(term.clone()));
        let is_held = tokio::select! {
            () = &mut work => true,
            () = candidate.hold() => false,
        };
        candidate.report("stopped leading");
        if is_held {
            candidate.release().await;
            return Ok(());
        }
        term.cancel();
        // Since the last renewal a pause and the attempts have passed.
        let Terms { lease, renew, retry } = self.terms;
        let left = lease.saturating_sub(renew).saturating_sub(retry);
        if timeout(left, work).await.is_err() {
            tracing::warn!(lease = %self, "what the leader did was broken off");
        }
        Err(Lost(self.to_string()))
    }
}

/// `namespace/name` of the lease.
impl fmt::Display for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election")
            .field("lease", &self.to_string())
            .field("identity", &self.identity)
            .finish()
    }
}

/// One candidacy: what it knows of the lease.
struct Candidate<'a> {
    election: &'a Election,
    api: Api<Lease>,
    observed: Option<Observed>,
    candidacy: Candidacy<'a>,
}

impl<'a> Candidate<'a> {
    fn new(election: &'a Election) -> Self {
        let api = Api::namespaced(election.client.clone(), &election.namespace);
        Self { election, api, observed: None, candidacy: election.standing.candidacy(&election.name) }
    }

    /// Returns once the lease is this candidate's.
    async fn acquire(&mut self) {
        let Terms { retry, .. } = self.election.terms;
        while !self.attempt().await {
            let more = rand::rng().random_range(0.0..JITTER);
            sleep(retry.mul_f64(1.0 + more)).await;
        }
        tracing::info!(lease = %self.election, identity = self.election.identity, "leads");
    }

    /// Renews, and returns when that failed for too long.
    async fn hold(&mut self) {
        let Terms { renew, retry, .. } = self.election.terms;
        loop {
            sleep(retry).await;
            let renewed = timeout(renew, async {
                while !self.attempt().await {
                    sleep(retry).await;
                }
            });
            if renewed.await.is_err() {
                return;
            }
        }
    }

    /// One attempt to take or renew the lease. One that takes long is given up: its server may be gone.
    async fn attempt(&mut self) -> bool {
        let limit = self.election.terms.renew / 2;
        match timeout(limit, self.take_or_renew()).await {
            Ok(Ok(is_own)) => is_own,
            Ok(Err(error)) => {
                tracing::warn!(lease = %self.election, %error, "the lease could not be read or written");
                false
            }
            Err(_) => {
                tracing::warn!(lease = %self.election, "no answer about the lease");
                false
            }
        }
    }

    async fn take_or_renew(&mut self) -> kube::Result<bool> {
        let own = &self.election.identity;
        // A leader need not read what it wrote last; where somebody else wrote since, it reads after all.
        if let Some(observed) = self.observed.as_ref().filter(|seen| seen.is_held_by(own, Instant::now())) {
            if self.write(observed.lease.clone()).await.is_ok() {
                return Ok(true);
            }
            self.candidacy.slow();
        }
        let Some(lease) = self.api.get_opt(&self.election.name).await? else {
            self.write(Lease::default()).await?;
            return Ok(true);
        };
        let observed = Observed::update(self.observed.take(), lease, Instant::now());
        let observed = self.observed.insert(observed);
        if observed.is_held_by_another(own, Instant::now()) {
            return Ok(false);
        }
        let lease = observed.lease.clone();
        self.write(lease).await?;
        Ok(true)
    }

    /// Writes the lease as this candidate's over `before`, in the version in which it was seen.
    async fn write(&mut self, before: Lease) -> kube::Result<()> {
        let Election { identity, terms, name, namespace, .. } = self.election;
        let spec = record::held(before.spec.as_ref(), identity, terms.lease, Timestamp::now());
        let lease = match before.metadata.name {
            Some(_) => {
                let lease = Lease { spec: Some(spec), ..before };
                self.api.replace(name, &PostParams::default(), &lease).await?
            }
            None => {
                let metadata = ObjectMeta {
                    name: Some(name.clone()),
                    namespace: Some(namespace.clone()),
                    ..ObjectMeta::default()
                };
                let lease = Lease { metadata, spec: Some(spec) };
                self.api.create(&PostParams::default(), &lease).await?
            }
        };
        self.observed = Some(Observed { lease, since: Instant::now() });
        self.candidacy.renewed();
        Ok(())
    }

    /// Lets the lease go.
    async fn release(mut self) {
        let Some(Observed { lease, .. }) = self.observed.take() else { return };
        let spec = record::released(lease.spec.as_ref(), Timestamp::now());
        let (lease, name) = (Lease { spec: Some(spec), ..lease }, &self.election.name);
        let (parameters, limit) = (PostParams::default(), self.election.terms.renew);
        match timeout(limit, self.api.replace(name, &parameters, &lease)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(lease = %self.election, %error, "the lease could not be released");
            }
            Err(_) => tracing::warn!(lease = %self.election, "no answer when the lease was released"),
        }
    }

    fn report(&self, what: &str) {
        let Some(observed) = &self.observed else { return };
        let message = format!("{} {what}", self.election.identity);
        self.election.recorder.event(&reference(&observed.lease), EventType::Normal, REASON, message);
    }
}
