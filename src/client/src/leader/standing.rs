//! Whether this process leads, and since when it could not renew: for health checks and metrics (client-go's
//! `healthzadaptor.go` and `metrics.go`).

use std::{
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::{IntCounterVec, IntGaugeVec};
use tokio::time::Instant;

use crate::measures::{counters, gauges};

static LEADS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help =
        "Whether this process holds the lease: 1 if it does, 0 if it stands by. 'name' is the lease's.";
    gauges("leader_election_master_status", help, &["name"])
});
static SLOW: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "How often a leader had to read its lease before it could renew it. 'name' is the lease's.";
    counters("leader_election_slowpath_total", help, &["name"])
});

/// What others may know of a candidate; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<Mutex<Option<Instant>>>);

impl Standing {
    /// Whether all is well with a candidate whose lease lasts for `lease`: it does not lead, or renewed its lease not much
    /// longer ago than that.
    pub fn is_well(&self, lease: Duration, tolerated: Duration) -> bool {
        self.renewed().is_none_or(|renewed| renewed.elapsed() <= lease + tolerated)
    }

    /// The candidacy for the lease of that name, which ends with the value.
    pub(super) fn candidacy<'a>(&'a self, name: &'a str) -> Candidacy<'a> {
        LEADS.with_label_values(&[name]).set(0);
        SLOW.with_label_values(&[name]);
        Candidacy { standing: self, name }
    }

    fn renewed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Standing::candidacy`].
pub(super) struct Candidacy<'a> {
    standing: &'a Standing,
    name: &'a str,
}

impl Candidacy<'_> {
    /// The lease was written as this candidate's.
    pub(super) fn renewed(&self) {
        *self.standing.renewed() = Some(Instant::now());
        LEADS.with_label_values(&[self.name]).set(1);
    }

    /// A renewal that had to read first.
    pub(super) fn slow(&self) {
        SLOW.with_label_values(&[self.name]).inc();
    }
}

impl Drop for Candidacy<'_> {
    fn drop(&mut self) {
        *self.standing.renewed() = None;
        LEADS.with_label_values(&[self.name]).set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_well_until_its_lease_and_what_is_tolerated_are_over() {
        let (standing, terms) = (Standing::default(), (Duration::from_secs(15), Duration::from_secs(20)));
        let is_well = || standing.is_well(terms.0, terms.1);
        assert!(is_well(), "it stands by");
        let candidacy = standing.candidacy("kube-test");
        candidacy.renewed();
        assert_eq!(LEADS.with_label_values(&["kube-test"]).get(), 1);
        tokio::time::advance(Duration::from_secs(35)).await;
        assert!(is_well());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!is_well());
        drop(candidacy);
        assert!(is_well(), "it leads no more");
        assert_eq!(LEADS.with_label_values(&["kube-test"]).get(), 0);
    }
}
