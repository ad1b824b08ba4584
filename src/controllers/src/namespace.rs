//! Empties namespaces that are being deleted, then lets them go (upstream `pkg/controller/namespace`).
//!
//! Keys are namespaces; they come from namespaces and from pods that ended in one. Pods go first, everything else once
//! they are gone. What is served is asked anew for each namespace, so that no kind is forgotten.

use std::{collections::BTreeMap, time::Duration};

use client::{Change, Informer, Queue, Requeue, answer};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus, Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};

use self::remains::Remains;
use crate::{
    Context, Error,
    feed::feed,
    ignore_absent,
    resources::{self, Resource},
};

mod conditions;
mod remains;

const ACCOUNT: &str = "namespace-controller";
const WORKERS: usize = 10;
const FINALIZER: &str = "kubernetes";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (namespaces, pods) = (cx.informers.of::<Namespace>(), cx.informers.of::<Pod>());
    let client = cx.client(ACCOUNT);
    namespaces.synced().await;
    pods.synced().await;

    let queue = Queue::<String>::named("namespace");
    feed(&namespaces, &queue, |change| match change {
        Change::Applied { new, .. } if is_ending(new) => new.metadata.name.clone(),
        _ => None,
    });
    let known = namespaces.clone();
    feed(&pods, &queue, move |change| match change {
        Change::Deleted(pod) => pod.metadata.namespace.clone().filter(|name| ends(&known, name)),
        Change::Applied { .. } => None,
    });
    let sync = |name: String| {
        let (client, pods) = (client.clone(), pods.clone());
        async move { Deletion { client, pods, name }.sync().await }
    };
    client::work(queue, WORKERS, sync, cx.cancel.clone()).await;
    Ok(())
}

fn is_ending(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_some()
}

fn ends(namespaces: &Informer<Namespace>, name: &str) -> bool {
    namespaces.get("", name).is_some_and(|namespace| is_ending(&namespace))
}

/// The deletion of one namespace.
struct Deletion {
    client: kube::Client,
    pods: Informer<Pod>,
    name: String,
}

impl Deletion {
    async fn sync(&self) -> Result<Requeue, Error> {
        let Some(namespace) = self.api().get_opt(&self.name).await? else { return Ok(Requeue::No) };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
        let deleted = namespace.metadata.deletion_timestamp.as_ref().map(|time| time.0);
        let Some(deleted) = deleted.filter(|_| finalizers.iter().any(|one| one == FINALIZER)) else {
            return Ok(Requeue::No);
        };
        let remains = self.empty(deleted).await;
        let conditions = conditions::update(&namespace, &remains, Timestamp::now());
        let namespace = self.write_status(namespace, conditions).await?;
        if let Some(seconds) = remains.wait {
            return Ok(Requeue::After(Duration::from_secs(seconds / 2 + 1)));
        }
        if let Some(error) = remains.errors.into_iter().next() {
            return Err(Error::Unusable(error));
        }
        self.finalize(namespace).await.map(|()| Requeue::No)
    }

    /// Deletes everything, pods first, and tells what remains.
    async fn empty(&self, deleted: Timestamp) -> Remains {
        let mut remains = Remains::default();
        let resources = match resources::discover(self.client.clone()).await {
            Ok(resources) => resources,
            Err(error) => {
                remains.discovery_error = Some(error.message());
                remains.errors.push(error.message());
                return remains;
            }
        };
        let deletable = |resource: &Resource| resource.is_namespaced && resource.serves(&["delete", "list"]);
        let (pods, others): (Vec<Resource>, Vec<Resource>) =
            resources.into_iter().filter(deletable).partition(is_pods);
        for resource in &pods {
            self.empty_of(resource, self.grace(deleted), &mut remains).await;
        }
        if !remains.is_empty() {
            return remains;
        }
        for resource in &others {
            self.empty_of(resource, None, &mut remains).await;
        }
        remains
    }

    /// The seconds that the pods may still take, while those are not over.
    fn grace(&self, deleted: Timestamp) -> Option<u64> {
        let pods = self.pods.in_namespace(&self.name);
        let running = pods.iter().filter(|pod| !objects::pod::is_terminal(pod));
        let graces = running.filter_map(|pod| pod.spec.as_ref()?.termination_grace_period_seconds);
        let grace = u64::try_from(graces.max()?).ok()?;
        let elapsed = u64::try_from(Timestamp::now().duration_since(deleted).as_secs()).unwrap_or(0);
        (elapsed < grace).then_some(grace)
    }

    async fn empty_of(&self, resource: &Resource, grace: Option<u64>, remains: &mut Remains) {
        match self.delete_all(resource).await {
            Ok(finalizers) => {
                let kind = (resource.api.plural.as_str(), resource.api.group.as_str());
                remains.add(&self.name, kind, &finalizers, grace);
            }
            Err(error) => remains.errors.push(answer::message(&error)),
        }
    }

    /// Deletes all objects of a kind and gives back the finalizers of those that are still there.
    async fn delete_all(&self, resource: &Resource) -> kube::Result<Vec<Vec<String>>> {
        let api = resource.objects(&self.client, &self.name);
        if resource.serves(&["deletecollection"]) {
            api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        } else {
            for object in api.list_metadata(&ListParams::default()).await? {
                let name = object.metadata.name.unwrap_or_default();
                match api.delete(&name, &DeleteParams::background()).await {
                    Err(error) if !answer::is_not_found(&error) => return Err(error),
                    _ => {}
                }
            }
        }
        let left = api.list_metadata(&ListParams::default()).await?;
        Ok(left.items.into_iter().map(|object| object.metadata.finalizers.unwrap_or_default()).collect())
    }

    async fn write_status(
        &self,
        mut namespace: Namespace,
        conditions: Vec<k8s_openapi::api::core::v1::NamespaceCondition>,
    ) -> Result<Namespace, Error> {
        let status = NamespaceStatus { phase: Some("Terminating".into()), conditions: Some(conditions) };
        if namespace.status.as_ref() == Some(&status) {
            return Ok(namespace);
        }
        namespace.status = Some(status);
        Ok(self.api().replace_status(&self.name, &PostParams::default(), &namespace).await?)
    }

    async fn finalize(&self, mut namespace: Namespace) -> Result<(), Error> {
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|one| one != FINALIZER);
        }
        let outcome: kube::Result<Namespace> =
            self.api().replace_subresource("finalize", &self.name, &PostParams::default(), &namespace).await;
        ignore_absent(outcome)
    }

    fn api(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }
}

fn is_pods(resource: &Resource) -> bool {
    resource.api.group.is_empty() && resource.api.plural == "pods"
}

/// How many of each.
type Counts = BTreeMap<String, usize>;
