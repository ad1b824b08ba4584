//! Objects that the cluster itself ships with.

use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

/// The service `kube-system/kube-dns`, which pods' `resolv.conf` names, answered by the DNS server at `answers`.
///
/// # Errors
/// The API refuses the service or its endpoints, for example because its address is taken.
pub(super) async fn dns(client: &kube::Client, address: Ipv4Addr, answers: SocketAddr) -> anyhow::Result<()> {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": "kube-dns", "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS",
            "kubernetes.io/cluster-service": "true"}},
        "spec": {"clusterIP": address, "ports": [
            {"name": "dns", "protocol": "UDP", "port": 53},
            {"name": "dns-tcp", "protocol": "TCP", "port": 53},
        ]},
    }))?;
    let endpoints: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": "kube-dns", "labels": {"kubernetes.io/service-name": "kube-dns",
            "endpointslice.kubernetes.io/managed-by": "coxswain"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [answers.ip()], "conditions": {"ready": true}}],
        "ports": [
            {"name": "dns", "protocol": "UDP", "port": answers.port()},
            {"name": "dns-tcp", "protocol": "TCP", "port": answers.port()},
        ],
    }))?;
    let services = Api::<Service>::namespaced(client.clone(), "kube-system");
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), "kube-system");
    tokio::try_join!(put(&services, "kube-dns", &service), put(&slices, "kube-dns", &endpoints))?;
    Ok(())
}

/// Creates an object, or merges what is given into the one that is there.
async fn put<K>(api: &Api<K>, name: &str, object: &K) -> kube::Result<()>
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            api.patch(name, &PatchParams::default(), &Patch::Merge(object)).await.map(drop)
        }
        outcome => outcome.map(drop),
    }
}
