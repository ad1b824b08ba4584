//! The endpoints of the cluster's DNS service: every node that says on which port it answers, ready as the node is.
//!
//! Follows Nodes, and writes EndpointSlices of the service `kube-system/kube-dns`, one for each port that nodes answer on; no
//! other controller does, since the service selects no pods. Follows those slices, too: what somebody else does to them is
//! undone. Upstream has no such controller: there, DNS is a Deployment.

use std::collections::BTreeMap;

use client::{Change, Informer};
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
    let slices = cx.informers.of::<EndpointSlice>();
    cx.cancel.run_until_cancelled(follow(&api, &nodes, &slices)).await.unwrap_or(Ok(()))
}

async fn follow(
    api: &Api<EndpointSlice>,
    nodes: &Informer<Node>,
    slices: &Informer<EndpointSlice>,
) -> Result<(), Error> {
    nodes.synced().await;
    slices.synced().await;
    let (mut node_changes, mut slice_changes) = (nodes.subscribe(), slices.subscribe());
    // Without a node that answers nobody asks either: then what is there may stay.
    let mut written = BTreeMap::new();
    loop {
        let is_astray = tokio::select! {
            Some(_) = node_changes.next() => false,
            Some(change) = slice_changes.next() => is_astray(&change, &written),
            else => return Ok(()),
        };
        while node_changes.try_next().is_some() {}
        let desired = desired(nodes.list().iter().map(AsRef::as_ref));
        if is_astray || written != desired {
            act(api, &desired).await?;
            written = desired;
        }
    }
}

/// Whether somebody else did something to the slices that were `written`. One that was overtaken by our next write may look
/// so, too: then the API is asked once in vain.
fn is_astray(change: &Change<EndpointSlice>, written: &BTreeMap<String, EndpointSlice>) -> bool {
    let seen = change.object();
    let labels = seen.metadata.labels.as_ref();
    let has = |(key, value): (&str, &str)| {
        labels.and_then(|labels| labels.get(key)).is_some_and(|own| own == value)
    };
    let wanted = written.get(seen.metadata.name.as_deref().unwrap_or_default());
    let is_ours = seen.metadata.namespace.as_deref() == Some(NAMESPACE)
        && (wanted.is_some() || LABELS.into_iter().all(has));
    match change {
        Change::Deleted(_) => is_ours && wanted.is_some(),
        Change::Applied { .. } => is_ours && wanted.is_none_or(|wanted| differ(seen, wanted)),
    }
}

fn differ(seen: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    seen.endpoints != wanted.endpoints || seen.ports != wanted.ports
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
            Some(seen) if differ(&seen, slice) => {
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
    use std::sync::Arc;

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

    #[test]
    fn what_somebody_else_does_to_our_slices_is_noticed_and_what_we_do_is_not() {
        let nodes = [node("a", "5301", "True"), node("b", "5302", "True")];
        let mut written = desired(nodes.iter());
        for slice in written.values_mut() {
            slice.metadata.namespace = Some(NAMESPACE.to_owned());
        }
        let seen = |name: &str| Arc::new(written[name].clone());
        let applied = |new| Change::Applied { old: None, new };
        assert!(!is_astray(&applied(seen("kube-dns-5301")), &written), "our own write");
        assert!(is_astray(&Change::Deleted(seen("kube-dns-5301")), &written));
        let emptied = EndpointSlice { endpoints: None, ..written["kube-dns-5302"].clone() };
        assert!(is_astray(&applied(Arc::new(emptied)), &written));
        let (stale, mut others) = (seen("kube-dns-5302"), written.clone());
        others.remove("kube-dns-5302");
        assert!(is_astray(&applied(stale.clone()), &others), "one that is left over");
        assert!(!is_astray(&Change::Deleted(stale), &others), "and now it is gone");
        let mut foreign = written["kube-dns-5301"].clone();
        foreign.metadata.namespace = Some("default".to_owned());
        assert!(!is_astray(&applied(Arc::new(foreign)), &BTreeMap::new()));
    }
}
