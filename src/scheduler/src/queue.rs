//! The pods that wait for a node (upstream `SchedulingQueue`).
//!
//! A pod is ready, or backing off after a failed attempt, or unschedulable until something changes that the plugins
//! which kept it out say may help, or in a cycle. The scheduler's task owns the queue and brings the time; the queue
//! keeps no timer and does no I/O.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::pod_info::PodInfo;

#[cfg(test)]
mod tests;

/// Back-off after the first failed attempt; it doubles with each further one.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// So long a pod stays unschedulable at most, should an event have been missed.
const MAX_UNSCHEDULABLE: Duration = Duration::from_secs(5 * 60);

/// Higher priority first, then who came first.
type Rank = (Reverse<i32>, u64, String);

#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: HashMap<String, Entry>,
    ready: BTreeSet<Rank>,
    /// When back-offs and unschedulable times end, by UID.
    deadlines: BTreeSet<(Instant, String)>,
    /// UIDs: what events are shown to.
    unschedulable: HashSet<String>,
    arrivals: u64,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<PodInfo>,
    arrival: u64,
    attempts: u32,
    backoff_end: Instant,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Ready,
    BackingOff,
    /// With the filters that kept it out; none where there was no node at all.
    Unschedulable {
        rejectors: BTreeSet<&'static str>,
        flush: Instant,
    },
    /// Taken out by [`Queue::pop`].
    InCycle,
}

/// How many pods wait, by where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) active: usize,
    pub(crate) backoff: usize,
    pub(crate) unschedulable: usize,
}

impl Queue {
    /// How many pods wait.
    pub(crate) fn sizes(&self) -> Sizes {
        let unschedulable = self.unschedulable.len();
        // Whatever is unschedulable has a deadline, too.
        let backoff = self.deadlines.len() - unschedulable;
        Sizes { active: self.ready.len(), backoff, unschedulable }
    }

    /// How often a pod that is here was tried.
    pub(crate) fn attempts(&self, uid: &str) -> u32 {
        self.entries.get(uid).map_or(0, |entry| entry.attempts)
    }

    /// Takes in a new pod, or a new state of one that waits. A change other than of its status may make an unschedulable
    /// pod fit.
    pub(crate) fn set(&mut self, pod: Arc<PodInfo>, now: Instant) {
        let uid = pod.uid().to_owned();
        let Some(entry) = self.entries.get_mut(&uid) else {
            self.arrivals += 1;
            let entry = Entry {
                pod,
                arrival: self.arrivals,
                attempts: 0,
                backoff_end: now,
                place: Place::BackingOff,
            };
            self.entries.insert(uid.clone(), entry);
            return self.wake(&uid, now);
        };
        let changed =
            entry.pod.pod.spec != pod.pod.spec || entry.pod.pod.metadata.labels != pod.pod.metadata.labels;
        if matches!(entry.place, Place::Ready) {
            self.ready.remove(&rank(&uid, entry));
            entry.pod = pod;
            self.ready.insert(rank(&uid, entry));
            return;
        }
        entry.pod = pod;
        if changed && matches!(entry.place, Place::Unschedulable { .. }) {
            self.wake(&uid, now);
        }
    }

    /// Forgets a pod: bound, gone, or no longer ours.
    pub(crate) fn remove(&mut self, uid: &str) {
        self.leave(uid);
        self.entries.remove(uid);
    }

    /// Takes the next ready pod into a cycle. It comes back by [`Queue::set_unschedulable`] or [`Queue::retry`], or is
    /// removed.
    pub(crate) fn pop(&mut self) -> Option<Arc<PodInfo>> {
        let (_, _, uid) = self.ready.pop_first()?;
        let entry = self.entries.get_mut(&uid).expect("what is ready has an entry");
        entry.attempts += 1;
        entry.place = Place::InCycle;
        Some(entry.pod.clone())
    }

    /// The cycle found no node; `rejectors` kept the pod out.
    pub(crate) fn set_unschedulable(&mut self, uid: &str, rejectors: BTreeSet<&'static str>, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        let flush = now + MAX_UNSCHEDULABLE;
        entry.backoff_end = now + backoff(entry.attempts);
        entry.place = Place::Unschedulable { rejectors, flush };
        self.deadlines.insert((flush, uid.to_owned()));
        self.unschedulable.insert(uid.to_owned());
    }

    /// The attempt failed for a reason that has nothing to do with the pod: it is tried again after its back-off.
    pub(crate) fn retry(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.backoff_end = now + backoff(entry.attempts);
        self.wake(uid, now);
    }

    /// Wakes the unschedulable pods that `is_helped` names, given the pod and what kept it out.
    pub(crate) fn wake_where(
        &mut self,
        is_helped: impl Fn(&PodInfo, &BTreeSet<&'static str>) -> bool,
        now: Instant,
    ) {
        let helped = |entry: &Entry| match &entry.place {
            Place::Unschedulable { rejectors, .. } => is_helped(&entry.pod, rejectors),
            _ => false,
        };
        let known = self.unschedulable.iter().filter(|uid| self.entries.get(*uid).is_some_and(helped));
        let uids: Vec<String> = known.cloned().collect();
        for uid in uids {
            self.wake(&uid, now);
        }
    }

    /// Makes ready what has backed off or been unschedulable for long enough.
    pub(crate) fn release_due(&mut self, now: Instant) {
        while let Some((deadline, uid)) = self.deadlines.first().cloned() {
            if deadline > now {
                return;
            }
            self.wake(&uid, now);
        }
    }

    /// When [`Queue::release_due`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Makes a pod ready, or lets it back off first where its time is not over.
    fn wake(&mut self, uid: &str, now: Instant) {
        self.leave(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if entry.backoff_end > now {
            entry.place = Place::BackingOff;
            self.deadlines.insert((entry.backoff_end, uid.to_owned()));
        } else {
            entry.place = Place::Ready;
            self.ready.insert(rank(uid, entry));
        }
    }

    /// Takes a pod out of the set that its place keeps it in.
    fn leave(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else { return };
        match &entry.place {
            Place::Ready => {
                self.ready.remove(&rank(uid, entry));
            }
            Place::BackingOff => {
                self.deadlines.remove(&(entry.backoff_end, uid.to_owned()));
            }
            Place::Unschedulable { flush, .. } => {
                self.deadlines.remove(&(*flush, uid.to_owned()));
                self.unschedulable.remove(uid);
            }
            Place::InCycle => {}
        }
    }
}

fn rank(uid: &str, entry: &Entry) -> Rank {
    (Reverse(entry.pod.priority()), entry.arrival, uid.to_owned())
}

fn backoff(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(10);
    INITIAL_BACKOFF.saturating_mul(1 << doublings).min(MAX_BACKOFF)
}
