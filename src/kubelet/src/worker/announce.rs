//! Events about containers that wait: when it begins, and again for as long as it goes on.
//!
//! Upstream tells of a back-off whenever it looks at a pod that is in one, so that the count of the event rises; the
//! recorder makes one event of them and stops repeating what goes on for long.

use std::collections::BTreeMap;

use client::EventType::{Normal, Warning};
use jiff::{SignedDuration, Timestamp};

use super::Worker;
use crate::{
    observed::Observed,
    plan::{Plan, Waiting},
    pod::{self, Role},
};

const RESTART: &str = "CrashLoopBackOff";
const PULL: &str = "ImagePullBackOff";

/// What was told of containers that wait, by name.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<String, Telling>);

#[derive(Debug)]
struct Telling {
    reason: String,
    again_at: Timestamp,
}

impl Told {
    /// The containers of which there is something to tell now.
    fn due(&mut self, waiting: &BTreeMap<String, Waiting>, now: Timestamp) -> Vec<String> {
        self.0.retain(|name, told| waiting.get(name).is_some_and(|waits| waits.reason == told.reason));
        let mut due = Vec::new();
        for (name, waits) in waiting {
            let Some(period) = period(&waits.reason) else { continue };
            if self.0.get(name).is_none_or(|told| told.again_at <= now) {
                self.0.insert(name.clone(), Telling { reason: waits.reason.clone(), again_at: now + period });
                due.push(name.clone());
            }
        }
        due
    }

    /// When there will be something to tell if nothing changes.
    fn next(&self) -> Option<Timestamp> {
        self.0.values().map(|told| told.again_at).min()
    }
}

/// How often upstream looks at a pod in such a back-off: where it knows how long that takes, when it ends but at least
/// every minute; otherwise after the usual pause (`completeWork` in pod_workers.go).
fn period(reason: &str) -> Option<SignedDuration> {
    match reason {
        RESTART => Some(SignedDuration::from_secs(60)),
        PULL => Some(SignedDuration::from_secs(10)),
        _ => None,
    }
}

impl Worker {
    /// Records events about containers that wait, and has the plan made again when there is more to tell.
    pub(super) fn announce(&mut self, plan: &mut Plan, observed: &Observed) {
        for name in self.told.due(&plan.waiting, Timestamp::now()) {
            self.tell(&name, &plan.waiting[&name].reason, observed);
        }
        self.told.next().into_iter().for_each(|at| plan.wake(at));
    }

    fn tell(&self, name: &str, reason: &str, observed: &Observed) {
        let found = pod::container(pod::spec(&self.pod), name);
        let role = found.as_ref().map_or(Role::Regular, |(role, _)| *role);
        let (about, host) = ((role, name), &self.host);
        if reason == PULL {
            let image = found.and_then(|(_, spec)| spec.image).unwrap_or_default();
            let message = format!("Back-off pulling image {image:?}");
            host.container_event(&self.pod, about, Normal, "BackOff", message);
            host.container_event(&self.pod, about, Warning, "Failed", "Error: ImagePullBackOff");
        } else if observed.container(name).is_some() {
            let full_name = pod::full_name(&self.pod);
            let message = format!("Back-off restarting failed container {name} in pod {full_name}");
            host.container_event(&self.pod, about, Warning, "BackOff", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_back_off_is_told_of_when_it_begins_and_then_again_and_again() {
        let waiting = |reason: &str| {
            let waits = Waiting { reason: reason.to_owned(), message: String::new() };
            BTreeMap::from([("c".to_owned(), waits)])
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut told = Told::default();
        let mut look = |reason: &str, second| !told.due(&waiting(reason), at(second)).is_empty();
        assert!(!look("ErrImagePull", 0), "the failure itself is told of by who failed");
        assert!(look(PULL, 5));
        assert!(!look(PULL, 14));
        assert!(look(PULL, 15));
        assert!(look(RESTART, 16), "another reason is news");
        assert!(!look(RESTART, 75));
        assert!(look(RESTART, 76));
        assert!(!look("PodInitializing", 80));
        assert!(look(RESTART, 81), "and so is a back-off that begins anew");
        assert_eq!(told.next(), Some(at(141)));
    }
}
