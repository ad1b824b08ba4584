//! Keeps the EndpointSlices of every Service with a selector (upstream `pkg/controller/endpointslice`).
//!
//! Keys are services; they come from services, their pods, nodes (for zones) and the slices themselves. [`plan`] decides
//! with as few writes as possible; slices of services that are gone fall to the garbage collector.

use std::sync::Arc;

use client::{Change, EventType, Index, Informer, Key, Queue, Recorder, Requeue, answer, reference};
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};

use self::{generations::Generations, plan::Plan};
use crate::{
    Context, Error,
    feed::{feed, feed_own},
    membership::{self, Members},
    trigger_time::TriggerTimes,
};

mod desired;
mod generations;
mod plan;

const ACCOUNT: &str = "endpointslice-controller";
const COMPONENT: &str = "endpoint-slice-controller";
const WORKERS: usize = 5;
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (services, pods) = (cx.informers.of::<Service>(), cx.informers.of::<Pod>());
    let (nodes, slices) = (cx.informers.of::<Node>(), cx.informers.of::<EndpointSlice>());
    services.synced().await;
    pods.synced().await;
    nodes.synced().await;
    slices.synced().await;
    let controller = Controller {
        members: Members::new(&services, &pods),
        services: services.clone(),
        nodes: nodes.clone(),
        slices: slices.index_by("service", service_of),
        generations: Arc::default(),
        times: TriggerTimes::default(),
        client: cx.client(ACCOUNT),
        recorder: cx.recorder(ACCOUNT, COMPONENT),
    };
    let queue = Queue::named("endpoint_slice");
    let members = controller.members.clone();
    feed_own(&services, &queue);
    let generations = controller.generations.clone();
    feed(&slices, &queue, move |change| {
        let service = service_key(change.object());
        if let (Change::Deleted(slice), Some(service)) = (change, &service) {
            generations.note_gone(service, slice);
        }
        service
    });
    feed(&pods, &queue, move |change| members.services_for(change));
    feed(&nodes, &queue, move |change| match change {
        Change::Applied { old: Some(old), new } if zone(old) != zone(new) => keys(&services),
        _ => Vec::new(),
    });
    client::work(queue, WORKERS, |key| controller.sync(key), cx.cancel.clone()).await;
    Ok(())
}

fn keys(services: &Informer<Service>) -> Vec<Key> {
    services.list().iter().map(|service| Key::of(&**service)).collect()
}

/// The zone that a node says it is in.
fn zone(node: &Node) -> Option<&String> {
    node.metadata.labels.as_ref()?.get("topology.kubernetes.io/zone").filter(|zone| !zone.is_empty())
}

/// The Service of a slice that this controller manages.
fn service_key(slice: &EndpointSlice) -> Option<Key> {
    let labels = slice.metadata.labels.as_ref()?;
    (labels.get(MANAGED_BY)? == MANAGER).then_some(())?;
    Some(Key::new(slice.metadata.namespace.clone()?, labels.get(SERVICE_NAME)?.clone()))
}

fn service_of(slice: &EndpointSlice) -> Option<String> {
    service_key(slice).map(|key| key.to_string())
}

struct Controller {
    members: Members,
    services: Informer<Service>,
    nodes: Informer<Node>,
    slices: Index<EndpointSlice>,
    generations: Arc<Generations>,
    times: TriggerTimes,
    client: kube::Client,
    recorder: Recorder,
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Requeue, Error> {
        let Some(service) = self.services.get_key(&key) else {
            self.times.forget(&key);
            self.generations.forget(&key);
            return Ok(Requeue::No);
        };
        if membership::selector(&service).is_none() {
            return Ok(Requeue::No);
        }
        let mut slices = self.slices.get(&key.to_string());
        slices.retain(|slice| slice.metadata.deletion_timestamp.is_none());
        if self.generations.is_stale(&key, &slices) {
            return Err(Error::Stale("EndpointSlice informer cache is out of date".into()));
        }
        let pods = self.members.pods_of(&service);
        let trigger_time = self.times.observe(&service, &pods);
        let zone_of = |node: &str| self.nodes.get("", node).and_then(|node| zone(&node).cloned());
        let desired = desired::desired(&service, &pods, zone_of);
        let plan = plan::plan(&service, desired, &slices, trigger_time);
        self.apply(&key, &service, plan).await.map(|()| Requeue::No)
    }

    async fn apply(&self, key: &Key, service: &Service, plan: Plan) -> Result<(), Error> {
        match self.write(key, plan).await {
            Err(error) if answer::is_namespace_terminating(&error) => Ok(()),
            Err(error) => {
                let text = answer::message(&error);
                let message = format!("Error updating Endpoint Slices for Service {key}: {text}");
                let reason = "FailedToUpdateEndpointSlices";
                self.recorder.event(&reference(service), EventType::Warning, reason, message);
                Err(error.into())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn write(&self, key: &Key, plan: Plan) -> kube::Result<()> {
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), &key.namespace);
        for slice in plan.create {
            self.generations.note(key, &api.create(&PostParams::default(), &slice).await?);
        }
        for slice in plan.update {
            let name = slice.metadata.name.clone().unwrap_or_default();
            self.generations.note(key, &api.replace(&name, &PostParams::default(), &slice).await?);
        }
        for slice in plan.delete {
            let name = slice.metadata.name.clone().unwrap_or_default();
            match api.delete(&name, &DeleteParams::default()).await {
                Err(error) if !answer::is_not_found(&error) => return Err(error),
                _ => self.generations.note_deletion(key, &slice),
            }
        }
        Ok(())
    }
}

/// Slices as plans take them.
type Slices = [Arc<EndpointSlice>];
