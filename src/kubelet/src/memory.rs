//! What a pod's worker remembers between two looks at the runtime: attempts, failures, back-off, probe results.
//!
//! Written by the worker when a step or a job ends, read by `plan` and `status`. Lost with the process; everything that
//! must outlive it is in the API object or on the containers themselves.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::probes;

/// The reason of a failure to start what the runtime had made: it has the container as one that ended.
pub(crate) const START_FAILED: &str = "RunContainerError";

const BACKOFF: SignedDuration = SignedDuration::from_secs(10);
const BACKOFF_MAX: SignedDuration = SignedDuration::from_secs(300);

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub volumes: Volumes,
    /// When to try again to make a sandbox.
    pub sandbox_retry: Option<Timestamp>,
    /// By container name.
    pub containers: BTreeMap<String, Remembered>,
    /// Containers being stopped, by id, and when they will be killed at the latest.
    pub killing: BTreeMap<String, Timestamp>,
    /// Containers whose post-start hook runs, by id.
    pub hooks: BTreeSet<String>,
    /// Probe results by container id.
    pub probes: probes::Results,
    /// Why the node ended the pod, if it did.
    pub evicted: Option<Verdict>,
    /// Since when the pod is being stopped.
    pub stopping_since: Option<Timestamp>,
    /// Whether volumes and cgroup are gone.
    pub is_torn_down: bool,
    /// Whether containers, sandboxes and files are gone.
    pub is_forgotten: bool,
    /// Whether the API object was deleted for good.
    pub is_deleted: bool,
}

/// How far the pod's volumes are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Volumes {
    #[default]
    Unknown,
    /// In place; some are to be looked at again then.
    Ready { refresh_at: Option<Timestamp> },
    /// Not in place.
    Failed { retry_at: Timestamp },
}

/// A reason and message for a pod that the node itself declared failed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub reason: String,
    pub message: String,
}

/// What is remembered of all containers of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    pub is_pulling: bool,
    /// The image, once it is known to be there; used up by the start.
    pub image_ref: Option<String>,
    pub failure: Option<Failure>,
    pub backoff: Option<Backoff>,
    /// Of pulls of the image that was asked for last.
    pub pull_backoff: Option<(String, Backoff)>,
    /// It was stopped in order to be started again, whatever the restart policy says.
    pub restart_asked: bool,
}

/// Why a container could not be started.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub reason: &'static str,
    pub message: String,
    pub at: Timestamp,
    pub retry_at: Timestamp,
}

/// How long something that keeps failing (a container's start, a pull) waits before it is tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    pub delay: SignedDuration,
    pub updated: Timestamp,
}

impl Backoff {
    /// The back-off after one more attempt at `now` of what ended at `finished`: 10 s doubling to 5 minutes, from the
    /// beginning where the attempt before lasted for twice the maximum (client-go's flowcontrol.Backoff).
    pub(crate) fn next(last: Option<Self>, finished: Timestamp, now: Timestamp) -> Self {
        let delay = match last {
            Some(last) if finished.duration_since(last.updated) <= BACKOFF_MAX * 2 => {
                (last.delay * 2).min(BACKOFF_MAX)
            }
            _ => BACKOFF,
        };
        Self { delay, updated: now }
    }
}

impl Memory {
    pub(crate) fn container(&mut self, name: &str) -> &mut Remembered {
        self.containers.entry(name.to_owned()).or_default()
    }
}

impl Remembered {
    /// Notes that `image` could not be pulled; the next attempt waits twice as long.
    pub(crate) fn pull_failed(&mut self, image: &str, reason: &'static str, message: String, now: Timestamp) {
        let last = self.pull_backoff.take().filter(|(last, _)| last == image).map(|(_, backoff)| backoff);
        let next = Backoff::next(last, now, now);
        self.pull_backoff = Some((image.to_owned(), next));
        self.failure = Some(Failure { reason, message, at: now, retry_at: now + next.delay });
    }

    /// Notes that a start failed for another reason; it is tried again after `delay`.
    pub(crate) fn start_failed(
        &mut self,
        reason: &'static str,
        message: String,
        now: Timestamp,
        delay: SignedDuration,
    ) {
        self.failure = Some(Failure { reason, message, at: now, retry_at: now + delay });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn back_off_doubles_to_five_minutes_and_is_forgotten_after_ten() {
        let mut last = None;
        let mut delays = Vec::new();
        for start in 0..7 {
            let next = Backoff::next(last, at(start * 400), at(start * 400));
            delays.push(next.delay.as_secs());
            last = Some(next);
        }
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
        let after_long_run = Backoff::next(last, at(6 * 400 + 601), at(6 * 400 + 601));
        assert_eq!(after_long_run.delay.as_secs(), 10);
    }

    #[test]
    fn pulls_of_one_image_wait_longer_and_longer_up_to_five_minutes() {
        let mut known = Remembered::default();
        let mut now = at(0);
        let mut waits = |image: &str, late_s: i64| {
            known.pull_failed(image, "ErrImagePull", "not found".into(), now);
            let retry_at = known.failure.as_ref().unwrap().retry_at;
            let waited = retry_at.duration_since(now).as_secs();
            now = retry_at + SignedDuration::from_secs(late_s);
            waited
        };
        assert_eq!([0; 7].map(|late| waits("a", late)), [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!([waits("b", 0), waits("b", 601)], [10, 20], "another image begins anew");
        assert_eq!(waits("b", 0), 10, "and one that was left alone for long");
    }
}
