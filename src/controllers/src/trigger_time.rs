//! When the change happened that endpoints are being updated for (upstream `TriggerTimeTracker`).
//!
//! Proxies measure by it how long it takes until a change reaches them. Keeps, per Service, the times seen last.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use objects::pod;

/// The times of each Service's pods that were taken into account already.
#[derive(Debug, Default)]
pub(crate) struct TriggerTimes(Mutex<HashMap<Key, BTreeMap<String, Timestamp>>>);

impl TriggerTimes {
    /// The earliest of the changes that are new since the last call for this Service; of an unknown Service its creation.
    pub(crate) fn observe(&self, service: &Service, pods: &[Arc<Pod>]) -> Option<Timestamp> {
        let since =
            |pod: &Pod| pod::condition(pod, "Ready")?.last_transition_time.as_ref().map(|time| time.0);
        let times: BTreeMap<String, Timestamp> =
            pods.iter().filter_map(|pod| Some((pod.metadata.name.clone()?, since(pod)?))).collect();
        let mut known = self.0.lock().expect("no panic happens while trigger times are locked");
        let Some(before) = known.insert(Key::of(service), times.clone()) else {
            return service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        };
        let is_new = |name: &str, time: &Timestamp| before.get(name).is_none_or(|seen| time > seen);
        times.into_iter().filter(|(name, time)| is_new(name, time)).map(|(_, time)| time).min()
    }

    /// Forgets a Service that is gone.
    pub(crate) fn forget(&self, service: &Key) {
        self.0.lock().expect("no panic happens while trigger times are locked").remove(service);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods(seconds: &[(&str, i64)]) -> Vec<Arc<Pod>> {
        let pod = |(name, second): &(&str, i64)| {
            let time = Timestamp::from_second(*second).unwrap();
            let condition = json!({"type": "Ready", "status": "True", "lastTransitionTime": time});
            let pod = json!({"metadata": {"name": name}, "status": {"conditions": [condition]}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        seconds.iter().map(pod).collect()
    }

    #[test]
    fn only_new_changes_count_and_the_earliest_is_told() {
        let times = TriggerTimes::default();
        let created = Timestamp::from_second(5).unwrap();
        let service: Service =
            serde_json::from_value(json!({"metadata": {"name": "s", "creationTimestamp": created}})).unwrap();
        let check = |seconds: &[(&str, i64)], expected| {
            let time = times.observe(&service, &pods(seconds));
            assert_eq!(time.map(Timestamp::as_second), expected);
        };
        check(&[("a", 10)], Some(5));
        check(&[("a", 10)], None);
        check(&[("a", 20), ("b", 15)], Some(15));
    }
}
