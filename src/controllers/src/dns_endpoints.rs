//! The endpoints of the cluster's DNS service: every node that says on which port it answers, ready as the node is.
//!
//! Follows Nodes, writes EndpointSlices of the service `kube-system/kube-dns`, one for each port that nodes answer on; no
//! other controller does, since the service selects no pods. Upstream has no such controller: there, DNS is a Deployment.

use std::collections::BTreeMap;

use client::Informer;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::Api;
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};

use crate::{Context, Error, ignore_absent};

/// Where a Node says on which port of its address the cluster's DNS answers.
pub const DNS_PORT_ANNOTATION: &str = "coxswain.io/dns-port";

const ACCOUNT: &str = "dns-endpoints-controller";
const NAMESPACE: &str = "kube-system";
const LABELS: [(&str, &str); 2] =
    [("kubernetes.io/service-name", "kube-dns"), ("endpointslice.kubernetes.io/managed-by", "coxswain")];

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (nodes, api) = (cx.informers.of::<Node>(), Api::namespaced(cx.client(ACCOUNT), NAMESPACE));
    cx.cancel.run_until_cancelled(follow(&api, &nodes)).await.unwrap_or(Ok(()))
}

async fn follow(api: &Api<EndpointSlice>, nodes: &Informer<Node>) -> Result<(), Error> {
    nodes.synced().await;
    let mut changes = nodes.subscribe();
    // Without a node that answers nobody asks either: then what is there may stay.
    let mut written = BTreeMap::new();
    while changes.next().await.is_some() {
        while changes.try_next().is_some() {}
        let desired = desired(nodes.list().iter().map(AsRef::as_ref));
        if written != desired {
            act(api, &desired).await?;
            written = desired;
        }
    }
    Ok(())
}

/// Creates, replaces and deletes until the API has the desired slices and no others.
async fn act(api: &Api<EndpointSlice>, desired: &BTreeMap<String, EndpointSlice>) -> Result<(), Error> {
    let selector = LABELS.map(|(key, value)| format!("{key}={value}")).join(",");
    let mut observed: BTreeMap<String, EndpointSlice> = BTreeMap::new();
    for slice in api.list(&ListParams::default().labels(&selector)).await? {
        observed.insert(slice.metadata.name.clone().unwrap_or_default(), slice);
    }
    for (name, slice) in desired {
        match observed.remove(name) {
            None => api.create(&PostParams::default(), slice).await.map(drop)?,
            Some(seen) if seen.endpoints != slice.endpoints || seen.ports != slice.ports => {
                api.replace(name, &PostParams::default(), slice).await.map(drop)?;
            }
            Some(_) => {}
        }
    }
    for name in observed.keys() {
        ignore_absent(api.delete(name, &DeleteParams::default()).await)?;
    }
    Ok(())
}

/// The slices by name: one for each port, with all nodes that answer on it.
fn desired<'a>(nodes: impl Iterator<Item = &'a Node>) -> BTreeMap<String, EndpointSlice> {
    let mut slices = BTreeMap::new();
    for node in nodes {
        let Some((port, endpoint)) = endpoint(node) else { continue };
        let name = format!("kube-dns-{port}");
        let slice = slices.entry(name.clone()).or_insert_with(|| slice(name, port));
        slice.endpoints.get_or_insert_default().push(endpoint);
    }
    slices
}

/// Where a node answers, and on which port.
fn endpoint(node: &Node) -> Option<(u16, Endpoint)> {
    let port = node.metadata.annotations.as_ref()?.get(DNS_PORT_ANNOTATION)?.parse().ok()?;
    let mut addresses = node.status.as_ref()?.addresses.iter().flatten();
    let address = addresses.find(|address| address.type_ == "InternalIP")?.address.clone();
    let ready = objects::node::is_ready(node);
    let conditions = EndpointConditions { ready: Some(ready), ..EndpointConditions::default() };
    let endpoint = Endpoint {
        addresses: vec![address],
        conditions: Some(conditions),
        node_name: node.metadata.name.clone(),
        ..Endpoint::default()
    };
    Some((port, endpoint))
}

fn slice(name: String, port: u16) -> EndpointSlice {
    let port = |name: &str, protocol: &str| EndpointPort {
        name: Some(name.to_owned()),
        protocol: Some(protocol.to_owned()),
        port: Some(port.into()),
        ..EndpointPort::default()
    };
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints: None,
        ports: Some(vec![port("dns", "UDP"), port("dns-tcp", "TCP")]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, port: &str, ready: &str) -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "annotations": {DNS_PORT_ANNOTATION: port}},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
                "conditions": [{"type": "Ready", "status": ready}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn nodes_answer_on_their_own_ports_and_are_ready_as_nodes_are() {
        let nodes = [
            node("a", "5301", "True"),
            node("b", "5302", "False"),
            node("c", "5301", "True"),
            node("d", "x", "True"),
        ];
        let slices = desired(nodes.iter());
        let shown: Vec<String> = slices
            .iter()
            .flat_map(|(name, slice)| {
                slice.endpoints.iter().flatten().map(move |endpoint| {
                    let ready = endpoint.conditions.as_ref().unwrap().ready.unwrap();
                    format!("{name} {} {ready}", endpoint.node_name.as_deref().unwrap())
                })
            })
            .collect();
        assert_eq!(shown, ["kube-dns-5301 a true", "kube-dns-5301 c true", "kube-dns-5302 b false"]);
    }
}
