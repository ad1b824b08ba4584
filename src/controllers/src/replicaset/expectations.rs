//! What a controller has asked for and not yet seen (upstream `ControllerExpectations`).
//!
//! While a set's expectations are open its cache is known to lag, and no further pods are created or deleted. They
//! expire, so that a lost observation delays and never blocks.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use client::Key;
use tokio::time::Instant;

/// Expectations older than this are taken as met.
const EXPIRY: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Default)]
pub(super) struct Expectations(Mutex<HashMap<Key, Open>>);

#[derive(Debug)]
struct Open {
    creations: usize,
    deletions: HashSet<String>,
    since: Instant,
}

impl Expectations {
    pub(super) fn expect_creations(&self, key: &Key, count: usize, now: Instant) {
        self.lock().insert(key.clone(), Open { creations: count, deletions: HashSet::new(), since: now });
    }

    pub(super) fn expect_deletions(&self, key: &Key, uids: impl Iterator<Item = String>, now: Instant) {
        self.lock().insert(key.clone(), Open { creations: 0, deletions: uids.collect(), since: now });
    }

    pub(super) fn creation_observed(&self, key: &Key) {
        if let Some(open) = self.lock().get_mut(key) {
            open.creations = open.creations.saturating_sub(1);
        }
    }

    pub(super) fn deletion_observed(&self, key: &Key, uid: Option<&str>) {
        if let (Some(open), Some(uid)) = (self.lock().get_mut(key), uid) {
            open.deletions.remove(uid);
        }
    }

    /// Whether everything asked for has been seen (or waited for long enough).
    pub(super) fn satisfied(&self, key: &Key, now: Instant) -> bool {
        self.lock().get(key).is_none_or(|open| {
            (open.creations == 0 && open.deletions.is_empty()) || now.duration_since(open.since) > EXPIRY
        })
    }

    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Open>> {
        self.0.lock().expect("no panic happens while expectations are locked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_met_by_observations_or_by_time() {
        let (expectations, key, now) = (Expectations::default(), Key::new("ns", "set"), Instant::now());
        assert!(expectations.satisfied(&key, now));
        expectations.expect_creations(&key, 2, now);
        expectations.creation_observed(&key);
        assert!(!expectations.satisfied(&key, now));
        expectations.creation_observed(&key);
        assert!(expectations.satisfied(&key, now));

        expectations.expect_deletions(&key, ["a".to_owned()].into_iter(), now);
        expectations.deletion_observed(&key, Some("b"));
        assert!(!expectations.satisfied(&key, now));
        expectations.deletion_observed(&key, Some("a"));
        assert!(expectations.satisfied(&key, now));

        expectations.expect_creations(&key, 1, now);
        assert!(expectations.satisfied(&key, now + EXPIRY + Duration::from_secs(1)));
    }
}
