//! What a pod's worker remembers between two looks at the runtime: attempts, failures, back-off, probe results.
//!
//! Written by the worker when a step or a job ends, read by `plan` and `status`. Lost with the process; everything that
//! must outlive it is in the API object or on the containers themselves.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::probes;

const CRASH_BACKOFF: SignedDuration = SignedDuration::from_secs(10);
const CRASH_BACKOFF_MAX: SignedDuration = SignedDuration::from_secs(300);

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
    pub backoff: Option<CrashBackoff>,
    pub pull_delay: Option<SignedDuration>,
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

/// How long a container that keeps ending waits before its next start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CrashBackoff {
    pub delay: SignedDuration,
    pub updated: Timestamp,
}

impl CrashBackoff {
    /// The back-off after one more start at `now` of a container that ended at `finished`: 10 s doubling to 5 minutes,
    /// from the beginning where the container ran for twice the maximum.
    pub(crate) fn next(last: Option<Self>, finished: Timestamp, now: Timestamp) -> Self {
        let delay = match last {
            Some(last) if finished.duration_since(last.updated) <= CRASH_BACKOFF_MAX * 2 => {
                (last.delay * 2).min(CRASH_BACKOFF_MAX)
            }
            _ => CRASH_BACKOFF,
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
    /// Notes that an image could not be pulled; the next attempt waits twice as long.
    pub(crate) fn pull_failed(&mut self, reason: &'static str, message: String, now: Timestamp) {
        let delay = self.pull_delay.map_or(CRASH_BACKOFF, |delay| (delay * 2).min(CRASH_BACKOFF_MAX));
        self.pull_delay = Some(delay);
        self.failure = Some(Failure { reason, message, at: now, retry_at: now + delay });
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
            let next = CrashBackoff::next(last, at(start * 400), at(start * 400));
            delays.push(next.delay.as_secs());
            last = Some(next);
        }
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
        let after_long_run = CrashBackoff::next(last, at(6 * 400 + 601), at(6 * 400 + 601));
        assert_eq!(after_long_run.delay.as_secs(), 10);
    }
}
