//! Objects that the cluster itself ships with, written at each start: what was changed in them is put right again.
//!
//! What nodes need to join ([`joining`]), what components tell their clients by ([`authentication`]), what the approver of serving certificates may do, the DNS service, and the
//! settings that every node reads.

pub(crate) mod authentication;
mod joining;

use std::net::Ipv4Addr;

use anyhow::Context;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::settings::{self, Settings};

/// Where a joining node finds the cluster, and how it can tell that it is the right one.
pub(super) struct Joining {
    /// The API's URL as nodes reach it.
    pub(super) server: String,
    /// The cluster's authority, PEM.
    pub(super) authority: String,
}

/// Writes them all.
///
/// # Errors
/// The first object that the API refuses.
pub(super) async fn write(
    client: &kube::Client,
    settings: &Settings,
    joining: &Joining,
) -> anyhow::Result<()> {
    tokio::try_join!(
        joining::write(client, joining),
        authentication::write(client, &joining.authority),
        dns(client, settings.cluster_dns),
        publish(client, settings),
    )?;
    Ok(())
}

async fn publish(client: &kube::Client, settings: &Settings) -> anyhow::Result<()> {
    let map = json!({
        "metadata": {"name": settings::NAME, "namespace": settings::NAMESPACE},
        "data": settings.to_data(),
    });
    put_in::<ConfigMap>(client, map).await
}

/// The service `kube-system/kube-dns`, which pods' `resolv.conf` names. Every node answers its own pods.
async fn dns(client: &kube::Client, address: Ipv4Addr) -> anyhow::Result<()> {
    let service = json!({
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns",
            "kubernetes.io/name": "CoreDNS", "kubernetes.io/cluster-service": "true"}},
        "spec": {"clusterIP": address, "internalTrafficPolicy": "Local", "ports": [
            {"name": "dns", "protocol": "UDP", "port": 53},
            {"name": "dns-tcp", "protocol": "TCP", "port": 53},
        ]},
    });
    put_in::<Service>(client, service).await
}

/// Writes an object of a kind that lives in namespaces.
async fn put_in<K>(client: &kube::Client, object: Value) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    put(&Api::<K>::namespaced(client.clone(), namespace), object.clone()).await
}

/// Writes an object of a kind that does not.
async fn put_out<K>(client: &kube::Client, object: Value) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    put(&Api::<K>::all(client.clone()), object).await
}

/// Merges what is given into the object that is there, or creates it. In this order: of a service that asks for its own address
/// again creating says that the address is taken.
async fn put<K>(api: &Api<K>, object: Value) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let typed: K = serde_json::from_value(object.clone())?;
    let (parameters, patch) = (PatchParams::default(), Patch::Merge(&object));
    let mut outcome = api.patch(&name, &parameters, &patch).await;
    if outcome.as_ref().is_err_and(client::answer::is_not_found) {
        outcome = match api.create(&PostParams::default(), &typed).await {
            // Another server that starts may have been faster.
            Err(refusal) => api.patch(&name, &parameters, &patch).await.map_err(|_| refusal),
            created => created,
        };
    }
    outcome.map(drop).with_context(|| format!("cannot write {} {name}", K::plural(&())))
}
