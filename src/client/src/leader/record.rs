//! What a lease says, and what a candidate may conclude from it. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use tokio::time::Instant;

/// A released lease ends so soon for clients that look at nothing but its times.
const RELEASED_SECONDS: i32 = 1;

/// The lease as it was last seen, and since when it has been so.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) lease: Lease,
    pub(super) since: Instant,
}

impl Observed {
    /// What is known once `lease` was read: a lease that says the same as before is seen since then.
    pub(super) fn update(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        let since =
            before.filter(|before| before.lease.spec == lease.spec).map_or(now, |before| before.since);
        Self { lease, since }
    }

    /// Whether it is `own`, and others still believe so.
    pub(super) fn is_held_by(&self, own: &str, now: Instant) -> bool {
        self.holder() == own && self.is_valid(now)
    }

    /// Whether somebody else has it and may still be at work.
    pub(super) fn is_held_by_another(&self, own: &str, now: Instant) -> bool {
        !self.holder().is_empty() && self.holder() != own && self.is_valid(now)
    }

    fn holder(&self) -> &str {
        holder(self.lease.spec.as_ref())
    }

    fn is_valid(&self, now: Instant) -> bool {
        let seconds = self.lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        self.since + Duration::from_secs(seconds.max(0).unsigned_abs().into()) > now
    }
}

fn holder(spec: Option<&LeaseSpec>) -> &str {
    spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// The lease in the hands of `own`, after it said `before`.
pub(super) fn held(before: Option<&LeaseSpec>, own: &str, duration: Duration, now: Timestamp) -> LeaseSpec {
    let is_own = holder(before) == own;
    let transitions = before.map(|before| before.lease_transitions.unwrap_or(0));
    let acquired = before.filter(|_| is_own).and_then(|before| before.acquire_time.clone());
    LeaseSpec {
        holder_identity: Some(own.to_owned()),
        lease_duration_seconds: Some(duration.as_secs().try_into().unwrap_or(i32::MAX)),
        acquire_time: Some(acquired.unwrap_or(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(
            transitions.map_or(0, |count| if is_own { count } else { count.saturating_add(1) }),
        ),
        ..LeaseSpec::default()
    }
}

/// The lease in nobody's hands.
pub(super) fn released(before: Option<&LeaseSpec>, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(RELEASED_SECONDS),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: before.and_then(|before| before.lease_transitions),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(spec: LeaseSpec) -> Lease {
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[test]
    fn transitions_count_changes_of_hands_and_the_time_of_taking_over_stays() {
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let term = Duration::from_secs(15);
        let first = held(None, "a", term, early);
        assert_eq!((first.lease_transitions, first.lease_duration_seconds), (Some(0), Some(15)));
        let renewed = held(Some(&first), "a", term, late);
        assert_eq!((renewed.lease_transitions, &renewed.acquire_time), (Some(0), &first.acquire_time));
        assert_eq!(renewed.renew_time, Some(MicroTime(late)));
        let free = released(Some(&renewed), late);
        assert_eq!(free.holder_identity.as_deref(), Some(""));
        let next = held(Some(&free), "b", term, late);
        assert_eq!((next.lease_transitions, next.acquire_time), (Some(1), Some(MicroTime(late))));
    }

    #[test]
    fn a_lease_ends_by_the_watch_of_whoever_looks_and_not_by_the_times_in_it() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let said = |renewed| {
            lease(held(None, "a", Duration::from_secs(15), Timestamp::from_second(renewed).unwrap()))
        };
        // Renewed, as it says, long ago or in a century: what counts is that it was seen just now.
        let seen = Observed::update(None, said(4_000_000_000), start);
        assert!(seen.is_held_by_another("b", after(14)) && !seen.is_held_by_another("b", after(15)));
        assert!(seen.is_held_by("a", after(14)) && !seen.is_held_by("a", after(15)));
        let same = Observed::update(Some(seen.clone()), said(4_000_000_000), after(10));
        assert!(!same.is_held_by_another("b", after(15)), "nothing was renewed");
        let renewed = Observed::update(Some(seen), said(0), after(10));
        assert!(renewed.is_held_by_another("b", after(24)));
        let free = Observed::update(None, lease(released(None, Timestamp::UNIX_EPOCH)), start);
        assert!(!free.is_held_by_another("b", start));
    }
}
