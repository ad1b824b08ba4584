//! Creating and deleting the pods of a set, with expectations and events: the controller's writes.

use std::sync::Arc;

use client::{EventType, Key, answer, reference};
use futures::future::join_all;
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};

use super::{
    ReplicaSets,
    plan::{self, Plan, Replicas},
};
use crate::Error;

impl ReplicaSets {
    /// Carries out what the plan says of replicas.
    pub(super) async fn apply(&self, key: &Key, set: &ReplicaSet, plan: &Plan) -> Result<(), Error> {
        match &plan.replicas {
            Replicas::Enough => Ok(()),
            Replicas::Create(count) => self.create_pods(key, set, *count).await,
            Replicas::Delete(pods) => self.delete_pods(key, set, pods).await,
        }
    }

    /// Creates pods in batches of 1, 2, 4 …; after a batch with a failure the rest waits for the next attempt.
    async fn create_pods(&self, key: &Key, set: &ReplicaSet, count: usize) -> Result<(), Error> {
        self.expectations.expect_creations(key, count, tokio::time::Instant::now());
        let pod = plan::pod(set);
        let (mut remaining, mut batch) = (count, 1);
        while remaining > 0 {
            batch = batch.min(remaining);
            let outcomes = join_all((0..batch).map(|_| self.create_pod(set, &pod))).await;
            remaining -= batch;
            batch *= 2;
            let mut failures: Vec<kube::Error> = outcomes.into_iter().filter_map(Result::err).collect();
            if let Some(error) = failures.pop() {
                for _ in 0..remaining + failures.len() + 1 {
                    self.expectations.creation_observed(key);
                }
                // In a namespace that is being deleted every creation fails; there is nothing to retry or report.
                return if answer::is_namespace_terminating(&error) { Ok(()) } else { Err(error.into()) };
            }
        }
        Ok(())
    }

    async fn create_pod(&self, set: &ReplicaSet, pod: &Pod) -> kube::Result<()> {
        let api = Api::<Pod>::namespaced(
            self.client.clone(),
            set.metadata.namespace.as_deref().unwrap_or_default(),
        );
        let about = reference(set);
        match api.create(&PostParams::default(), pod).await {
            Ok(created) => {
                let name = created.metadata.name.unwrap_or_default();
                self.recorder.event(
                    &about,
                    EventType::Normal,
                    "SuccessfulCreate",
                    format!("Created pod: {name}"),
                );
                Ok(())
            }
            Err(error) => {
                if !answer::is_namespace_terminating(&error) {
                    let message = format!("Error creating: {}", answer::message(&error));
                    self.recorder.event(&about, EventType::Warning, "FailedCreate", message);
                }
                Err(error)
            }
        }
    }

    async fn delete_pods(&self, key: &Key, set: &ReplicaSet, pods: &[Arc<Pod>]) -> Result<(), Error> {
        let uids = pods.iter().filter_map(|pod| pod.metadata.uid.clone());
        self.expectations.expect_deletions(key, uids, tokio::time::Instant::now());
        let outcomes = join_all(pods.iter().map(|pod| self.delete_pod(key, set, pod))).await;
        outcomes.into_iter().collect::<Result<(), kube::Error>>().map_err(Error::from)
    }

    async fn delete_pod(&self, key: &Key, set: &ReplicaSet, pod: &Pod) -> kube::Result<()> {
        let api = Api::<Pod>::namespaced(
            self.client.clone(),
            pod.metadata.namespace.as_deref().unwrap_or_default(),
        );
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let about = reference(set);
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => {
                self.recorder.event(
                    &about,
                    EventType::Normal,
                    "SuccessfulDelete",
                    format!("Deleted pod: {name}"),
                );
                Ok(())
            }
            Err(error) => {
                self.expectations.deletion_observed(key, pod.metadata.uid.as_deref());
                if answer::is_not_found(&error) {
                    return Ok(());
                }
                let message = format!("Error deleting: {}", answer::message(&error));
                self.recorder.event(&about, EventType::Warning, "FailedDelete", message);
                Err(error)
            }
        }
    }
}
