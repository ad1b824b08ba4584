//! Which writes to slices the cache must show before the next plan (upstream `EndpointSliceTracker`).
//!
//! Without this a plan made against a lagging cache would create the slices just created once more.

use std::{collections::HashMap, sync::Mutex};

use client::Key;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::Slices;

/// Per Service and slice UID: the generation last written; `None` once deleted.
#[derive(Debug, Default)]
pub(super) struct Generations(Mutex<HashMap<Key, HashMap<String, Option<i64>>>>);

impl Generations {
    /// Notes that the slice was written in this state.
    pub(super) fn note(&self, service: &Key, slice: &EndpointSlice) {
        self.set(service, slice, Some(slice.metadata.generation.unwrap_or(0)));
    }

    /// Notes that the slice was deleted.
    pub(super) fn note_deletion(&self, service: &Key, slice: &EndpointSlice) {
        self.set(service, slice, None);
    }

    /// Notes that the cache has shown the end of a slice, whoever deleted it.
    pub(super) fn note_gone(&self, service: &Key, slice: &EndpointSlice) {
        let mut all = self.0.lock().expect("no panic happens while generations are locked");
        if let (Some(written), Some(uid)) = (all.get_mut(service), slice.metadata.uid.as_deref()) {
            written.remove(uid);
        }
    }

    /// Whether the cache, having `slices` of the Service, lags behind what was written.
    pub(super) fn is_stale(&self, service: &Key, slices: &Slices) -> bool {
        let mut all = self.0.lock().expect("no panic happens while generations are locked");
        let Some(written) = all.get_mut(service) else { return false };
        let shown: HashMap<&str, i64> = slices
            .iter()
            .filter_map(|slice| {
                Some((slice.metadata.uid.as_deref()?, slice.metadata.generation.unwrap_or(0)))
            })
            .collect();
        // A deleted slice that is gone from the cache needs no memory any more.
        written.retain(|uid, generation| generation.is_some() || shown.contains_key(uid.as_str()));
        written.iter().any(|(uid, generation)| match (generation, shown.get(uid.as_str())) {
            (Some(written), Some(shown)) => shown < written,
            (Some(_), None) | (None, Some(_)) => true,
            (None, None) => false,
        })
    }

    /// Forgets a Service that is gone.
    pub(super) fn forget(&self, service: &Key) {
        self.0.lock().expect("no panic happens while generations are locked").remove(service);
    }

    fn set(&self, service: &Key, slice: &EndpointSlice, generation: Option<i64>) {
        let Some(uid) = slice.metadata.uid.clone() else { return };
        let mut all = self.0.lock().expect("no panic happens while generations are locked");
        all.entry(service.clone()).or_default().insert(uid, generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_that_somebody_deleted_is_not_waited_for() {
        let mut slice = EndpointSlice::default();
        slice.metadata.uid = Some("a".to_owned());
        let (generations, service) = (Generations::default(), Key::new("n".to_owned(), "s".to_owned()));
        generations.note(&service, &slice);
        assert!(generations.is_stale(&service, &[]), "the cache does not know it yet");
        generations.note_gone(&service, &slice);
        assert!(!generations.is_stale(&service, &[]));
    }
}
