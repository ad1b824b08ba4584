//! How much of the processors the two lower classes of pods get when all want some (upstream: cm/qos_container_manager_linux.go).
//!
//! Knows what each burstable pod with a cgroup requests; told when one comes or goes. Writes nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use k8s_openapi::api::core::v1::Pod;

use crate::{pod, spec::resources};

/// What burstable pods request, in thousandths of a processor, by uid.
#[derive(Debug, Default)]
pub(super) struct Tiers(Mutex<HashMap<String, i64>>);

/// The requests, which nobody changes until what follows from them is written.
pub(super) struct Requests<'a>(MutexGuard<'a, HashMap<String, i64>>);

impl Tiers {
    pub(super) fn requests(&self) -> Requests<'_> {
        Requests(self.0.lock().expect("no panic happens while the requests are locked"))
    }
}

impl Requests<'_> {
    pub(super) fn add(&mut self, pod: &Pod) {
        if objects::pod::qos_class(pod) == "Burstable" {
            let milli_cpu = objects::resources::requests(pod::spec(pod)).get("cpu");
            self.0.insert(pod::uid(pod).to_owned(), milli_cpu);
        }
    }

    pub(super) fn remove(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// The classes below the cgroup of all pods, and the `cpu.shares` of each.
    pub(super) fn shares(&self) -> [(&'static str, i64); 2] {
        let requested = self.0.values().fold(0i64, |sum, milli_cpu| sum.saturating_add(*milli_cpu));
        [("burstable", resources::shares(requested)), ("besteffort", resources::shares(0))]
    }
}
