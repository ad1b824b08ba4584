//! Gives every node its range of pod addresses, a /24 out of the cluster's (upstream `pkg/controller/nodeipam`).
//!
//! Keys are nodes. One worker, so that no range is given twice; what it gave and the cache does not show yet it remembers.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use client::{Change, EventType, Informer, Queue, Recorder, Requeue, reference};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{Context, Error, feed::feed, ignore_absent};

const ACCOUNT: &str = "node-controller";
const COMPONENT: &str = "cidrAllocator";
/// Lengths of a node's prefix.
const NODE_PREFIX_V4: u8 = 24;
const NODE_PREFIX_V6: u8 = 64;

/// Runs the controller until the context is cancelled; without a range to give from it only waits for that.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let Some(cluster) = cx.cluster_cidr else {
        cx.cancel.cancelled().await;
        return Ok(());
    };
    let nodes = cx.informers.of::<Node>();
    nodes.synced().await;
    let allocator = Allocator {
        nodes: nodes.clone(),
        cluster,
        given: Mutex::default(),
        client: cx.client(ACCOUNT),
        recorder: cx.recorder(ACCOUNT, COMPONENT),
    };
    let queue = Queue::<String>::named("node_ipam");
    feed(&nodes, &queue, |change| match change {
        Change::Applied { old: Some(_), new } if range_of(new).is_some() => None,
        change => change.object().metadata.name.clone(),
    });
    client::work(queue, 1, |name| allocator.sync(name), cx.cancel.clone()).await;
    Ok(())
}

struct Allocator {
    nodes: Informer<Node>,
    cluster: IpNet,
    /// Ranges by node, ahead of the cache.
    given: Mutex<BTreeMap<String, IpNet>>,
    client: kube::Client,
    recorder: Recorder,
}

impl Allocator {
    async fn sync(&self, name: String) -> Result<Requeue, Error> {
        let Some(node) = self.nodes.get("", &name) else {
            self.given().remove(&name);
            return Ok(Requeue::No);
        };
        if range_of(&node).is_some() {
            return Ok(Requeue::No);
        }
        let taken: Vec<IpNet> = self.taken(&name);
        let Some(range) = plan(self.cluster, &taken) else {
            let message = format!("Node {name} status is now: CIDRNotAvailable");
            self.recorder.event(&reference(&*node), EventType::Normal, "CIDRNotAvailable", message);
            return Err(Error::Unusable("CIDR allocation failed; there are no remaining CIDRs left".into()));
        };
        self.given().insert(name.clone(), range);
        self.apply(&name, range).await.map(|()| Requeue::No)
    }

    /// The ranges of all other nodes.
    fn taken(&self, name: &str) -> Vec<IpNet> {
        let mut taken: Vec<IpNet> = self.nodes.list().iter().filter_map(|node| range_of(node)).collect();
        taken.extend(self.given().iter().filter(|(node, _)| *node != name).map(|(_, range)| *range));
        taken
    }

    async fn apply(&self, name: &str, range: IpNet) -> Result<(), Error> {
        let range = range.to_string();
        let patch = Patch::Merge(json!({"spec": {"podCIDR": range, "podCIDRs": [range]}}));
        let nodes = Api::<Node>::all(self.client.clone());
        ignore_absent(nodes.patch(name, &PatchParams::default(), &patch).await)
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<String, IpNet>> {
        self.given.lock().expect("no panic happens while the ranges are locked")
    }
}

fn range_of(node: &Node) -> Option<IpNet> {
    node.spec.as_ref()?.pod_cidr.as_deref()?.parse().ok()
}

/// The first free range of `cluster`.
fn plan(cluster: IpNet, taken: &[IpNet]) -> Option<IpNet> {
    let usual = if cluster.addr().is_ipv6() { NODE_PREFIX_V6 } else { NODE_PREFIX_V4 };
    let overlaps = |range: &IpNet| taken.iter().any(|other| other.contains(range) || range.contains(other));
    cluster.subnets(usual.max(cluster.prefix_len())).ok()?.find(|range| !overlaps(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cluster: &str, taken: &[&str], expected: Option<&str>) {
        let taken: Vec<IpNet> = taken.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(
            plan(cluster.parse().unwrap(), &taken).map(|range| range.to_string()).as_deref(),
            expected
        );
    }

    #[test]
    fn the_first_free_range_is_given() {
        check("10.42.0.0/16", &[], Some("10.42.0.0/24"));
        check("10.42.0.0/16", &["10.42.0.0/24", "10.42.2.0/24"], Some("10.42.1.0/24"));
        check("10.42.0.0/23", &["10.42.0.0/24", "10.42.1.0/24"], None);
        check("10.42.0.0/16", &["10.42.0.0/23"], Some("10.42.2.0/24"));
        check("10.42.7.0/26", &[], Some("10.42.7.0/26"));
    }
}
