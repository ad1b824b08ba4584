//! The nodes of the cluster as the mesh sees them, and what the kernel should hold for them. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use client::Change;
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;

use super::{
    backend::Backend,
    plan::{Entries, Entry},
};
use crate::links::{Gateway, HardwareAddress};

/// What the mesh needs to know of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    /// Its address, once its kubelet told one.
    address: Option<Ipv4Addr>,
    /// The range of its pods, once it was given one.
    pods: Option<Ipv4Net>,
}

/// All nodes, this one included.
#[derive(Debug)]
pub(super) struct Peers {
    own_name: String,
    own_address: Ipv4Addr,
    cluster_cidr: Ipv4Net,
    nodes: BTreeMap<String, Peer>,
}

/// What the kernel should hold, and what is wrong with nodes that it should hold nothing for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) entries: Entries,
    pub(super) complaints: BTreeSet<String>,
}

impl Peers {
    /// Nobody yet, seen from the named node.
    pub(super) fn new(own_name: String, own_address: Ipv4Addr, cluster_cidr: Ipv4Net) -> Self {
        Self { own_name, own_address, cluster_cidr, nodes: BTreeMap::new() }
    }

    /// Takes a change to a node; false when it makes no difference here, as heartbeats do not.
    pub(super) fn apply(&mut self, change: &Change<Node>) -> bool {
        let name = change.object().metadata.name.clone().unwrap_or_default();
        match change {
            Change::Applied { new, .. } => {
                let peer = peer(new);
                self.nodes.insert(name, peer) != Some(peer)
            }
            Change::Deleted(_) => self.nodes.remove(&name).is_some(),
        }
    }

    /// What the kernel should hold so that the pods of all nodes are reached.
    pub(super) fn wanted(&self, backend: Backend) -> Wanted {
        let mut wanted = Wanted::default();
        // Addresses of the cluster that nobody has lead nowhere, rather than out by the default route.
        wanted.entries.insert(Entry::Route(self.cluster_cidr, Gateway::Nobody));
        let own = self.nodes.get(&self.own_name).and_then(|own| own.pods);
        if let (Backend::Vxlan, Some(own)) = (backend, own) {
            wanted.entries.insert(Entry::Address(own.network()));
        }
        let mut taken: BTreeMap<Ipv4Net, &str> = own.into_iter().map(|own| (own, &*self.own_name)).collect();
        for (name, address, pods) in self.others() {
            match self.objection(name, address, pods, &taken) {
                Some(objection) => wanted.complaints.insert(objection),
                None => {
                    taken.insert(pods, name);
                    wanted.entries.extend(entries(backend, address, pods));
                    continue;
                }
            };
        }
        wanted
    }

    /// The other nodes of which enough is known.
    fn others(&self) -> impl Iterator<Item = (&str, Ipv4Addr, Ipv4Net)> {
        let others = self.nodes.iter().filter(|(name, _)| **name != self.own_name);
        others.filter_map(|(name, peer)| Some((name.as_str(), peer.address?, peer.pods?)))
    }

    /// Why nothing may lead to a node: its entries would lead others' packets astray.
    fn objection(
        &self,
        name: &str,
        address: Ipv4Addr,
        pods: Ipv4Net,
        taken: &BTreeMap<Ipv4Net, &str>,
    ) -> Option<String> {
        if !self.cluster_cidr.contains(&pods) {
            return Some(format!(
                "the pods of node {name} are unreachable: their range {pods} is not part of the cluster's, {}",
                self.cluster_cidr
            ));
        }
        if address == self.own_address {
            return Some(format!(
                "the pods of node {name} are unreachable: it has the address of this node, {address}"
            ));
        }
        let (range, owner) =
            taken.iter().find(|(range, _)| range.contains(&pods) || pods.contains(*range))?;
        Some(format!(
            "the pods of node {name} are unreachable: their range {pods} overlaps {range} of node {owner}"
        ))
    }
}

fn peer(node: &Node) -> Peer {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let address = addresses
        .filter(|address| address.type_ == "InternalIP")
        .find_map(|address| address.address.parse().ok());
    let spec = node.spec.as_ref();
    let ranges = spec.into_iter().flat_map(|spec| spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr));
    let pods = ranges.filter_map(|range| range.parse::<Ipv4Net>().ok()).map(|range| range.trunc()).next();
    Peer { address, pods }
}

/// What leads to the pods of one node. Behind a tunnel, the first address of their range stands for the node: no pod
/// gets that address, and the node's tunnel link has it.
fn entries(backend: Backend, address: Ipv4Addr, pods: Ipv4Net) -> Vec<Entry> {
    match backend {
        Backend::Routes => vec![Entry::Route(pods, Gateway::Direct(address))],
        Backend::Vxlan => vec![
            Entry::Forward(hardware_address(address), address),
            Entry::Neighbour(pods.network(), hardware_address(address)),
            Entry::Route(pods, Gateway::Tunnelled(pods.network())),
        ],
    }
}

/// The hardware address of a node's tunnel link: locally administered, made from the node's address, so that others
/// know it.
pub(super) fn hardware_address(node: Ipv4Addr) -> HardwareAddress {
    let [a, b, c, d] = node.octets();
    [0x0e, 0x58, a, b, c, d]
}

#[cfg(test)]
mod tests;
