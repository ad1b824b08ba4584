//! Keeps the Endpoints of every Service with a selector (upstream `pkg/controller/endpoint`).
//!
//! Keys are services; they come from services, their pods and the Endpoints themselves. [`plan`] decides.

use std::sync::Arc;

use client::{EventType, Informer, Key, Queue, Recorder, Requeue, answer, reference};
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};

use crate::{
    Context, Error,
    feed::{feed, feed_own},
    ignore_absent,
    membership::{self, Members},
    trigger_time::TriggerTimes,
};

mod plan;
mod subsets;

const ACCOUNT: &str = "endpoint-controller";
const WORKERS: usize = 5;

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (services, pods) = (cx.informers.of::<Service>(), cx.informers.of::<Pod>());
    let endpoints = cx.informers.of::<Endpoints>();
    services.synced().await;
    pods.synced().await;
    endpoints.synced().await;
    let controller = Controller {
        members: Members::new(&services, &pods),
        services: services.clone(),
        endpoints: endpoints.clone(),
        times: TriggerTimes::default(),
        client: cx.client(ACCOUNT),
        recorder: cx.recorder(ACCOUNT, ACCOUNT),
    };
    let queue = Queue::named("endpoint");
    let members = controller.members.clone();
    feed_own(&services, &queue);
    feed_own(&endpoints, &queue);
    feed(&pods, &queue, move |change| members.services_for(change));
    client::work(queue, WORKERS, |key| controller.sync(key), cx.cancel.clone()).await;
    Ok(())
}

struct Controller {
    members: Members,
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    times: TriggerTimes,
    client: kube::Client,
    recorder: Recorder,
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Requeue, Error> {
        let observed = self.endpoints.get_key(&key);
        let Some(service) = self.services.get_key(&key) else {
            self.times.forget(&key);
            return self.delete_left_over(&key, observed).await.map(|()| Requeue::No);
        };
        if membership::selector(&service).is_none() {
            return Ok(Requeue::No);
        }
        let pods = self.members.pods_of(&service);
        let trigger_time = self.times.observe(&service, &pods);
        if let Some(endpoints) = plan::plan(&service, &pods, observed.as_deref(), trigger_time) {
            self.apply(&service, endpoints).await?;
        }
        Ok(Requeue::No)
    }

    /// The Service is gone: what this controller made for it goes too; what users made stays.
    async fn delete_left_over(&self, key: &Key, observed: Option<Arc<Endpoints>>) -> Result<(), Error> {
        if !observed.is_some_and(|endpoints| plan::is_ours(&endpoints)) {
            return Ok(());
        }
        ignore_absent(self.api(&key.namespace).delete(&key.name, &DeleteParams::default()).await)
    }

    async fn apply(&self, service: &Service, endpoints: Endpoints) -> Result<(), Error> {
        let name = endpoints.metadata.name.clone().unwrap_or_default();
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let api = self.api(namespace);
        let exists = endpoints.metadata.resource_version.is_some();
        let outcome = match exists {
            true => api.replace(&name, &PostParams::default(), &endpoints).await,
            false => api.create(&PostParams::default(), &endpoints).await,
        };
        let Err(error) = outcome else { return Ok(()) };
        if answer::is_namespace_terminating(&error) {
            return Ok(());
        }
        if !answer::is_conflict(&error) && !answer::is_already_exists(&error) {
            let text = answer::message(&error);
            let (reason, message) = match exists {
                true => (
                    "FailedToUpdateEndpoint",
                    format!("Failed to update endpoint {namespace}/{name}: {text}"),
                ),
                false => (
                    "FailedToCreateEndpoint",
                    format!("Failed to create endpoint for service {namespace}/{name}: {text}"),
                ),
            };
            self.recorder.event(&reference(&endpoints), EventType::Warning, reason, message);
        }
        Err(error.into())
    }

    fn api(&self, namespace: &str) -> Api<Endpoints> {
        Api::namespaced(self.client.clone(), namespace)
    }
}
