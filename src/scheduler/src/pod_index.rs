//! Which of the placed pods the rules among pods concern, so that a cycle looks at those and no others.
//!
//! The cluster keeps it up to date pod by pod. Holds UIDs, knows no nodes.

use std::collections::{HashMap, HashSet};

use crate::pod_info::PodInfo;

#[derive(Debug, Default)]
pub(crate) struct PodIndex {
    by_namespace: HashMap<String, HashSet<String>>,
    with_required_anti_affinity: HashSet<String>,
    that_influence_scores: HashSet<String>,
}

impl PodIndex {
    pub(crate) fn add(&mut self, pod: &PodInfo) {
        let uid = || pod.uid().to_owned();
        match self.by_namespace.get_mut(pod.namespace()) {
            Some(uids) => {
                uids.insert(uid());
            }
            None => {
                self.by_namespace.insert(pod.namespace().to_owned(), [uid()].into());
            }
        }
        // What cannot be read has no influence on others (upstream likewise).
        let Ok(terms) = &pod.affinity else { return };
        if !terms.required_anti.is_empty() {
            self.with_required_anti_affinity.insert(uid());
        }
        if terms.influence_scores() {
            self.that_influence_scores.insert(uid());
        }
    }

    pub(crate) fn remove(&mut self, pod: &PodInfo) {
        let uid = pod.uid();
        if let Some(uids) = self.by_namespace.get_mut(pod.namespace()) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_namespace.remove(pod.namespace());
            }
        }
        self.with_required_anti_affinity.remove(uid);
        self.that_influence_scores.remove(uid);
    }

    /// Names of the namespaces that have pods.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.by_namespace.keys().map(String::as_str)
    }

    pub(crate) fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.by_namespace.get(namespace).into_iter().flatten().map(String::as_str)
    }

    pub(crate) fn with_required_anti_affinity(&self) -> impl Iterator<Item = &str> {
        self.with_required_anti_affinity.iter().map(String::as_str)
    }

    pub(crate) fn that_influence_scores(&self) -> impl Iterator<Item = &str> {
        self.that_influence_scores.iter().map(String::as_str)
    }
}
