//! What the kernel holds for the mesh: observed at the start and when in doubt, otherwise remembered, and changed as
//! the plan says.

use std::{collections::BTreeSet, net::Ipv4Addr};

use ipnet::Ipv4Net;

use super::{
    backend::Backend,
    peers::hardware_address,
    plan::{Entries, Entry, plan},
    untracked,
};
use crate::{
    Error,
    links::{Gateway, Links, Tunnel, is_no_direct_way},
    names,
    pods::source_address,
};

/// The kernel's entries of one instance.
#[derive(Debug)]
pub(super) struct Kernel {
    instance: String,
    backend: Backend,
    node_ip: Ipv4Addr,
    metric: u32,
    /// What the names of all links of the instance begin with.
    link_prefix: String,
    tunnel_name: String,
    tunnel_network: u32,
    held: Option<Held>,
}

/// What the kernel is known to hold.
#[derive(Debug)]
struct Held {
    /// The tunnel link's index, where there is one.
    tunnel: Option<u32>,
    entries: Entries,
}

impl Kernel {
    /// Knows nothing of what is there.
    pub(super) fn new(instance: &str, backend: Backend, node_ip: Ipv4Addr, cluster_cidr: Ipv4Net) -> Self {
        Self {
            instance: instance.to_owned(),
            backend,
            node_ip,
            metric: names::route_metric(instance),
            link_prefix: names::link_prefix(instance),
            tunnel_name: names::tunnel(instance),
            tunnel_network: names::tunnel_network(cluster_cidr),
            held: None,
        }
    }

    pub(super) fn backend(&self) -> Backend {
        self.backend
    }

    /// What happened may have changed what is held: look again before the next change.
    pub(super) fn doubt(&mut self) {
        self.held = None;
    }

    /// Whether a link may carry what is held: the tunnel, or one of the machine's own. Links of pods never do.
    pub(super) fn concerns_link(&self, name: &str) -> bool {
        name == self.tunnel_name || !name.starts_with(&self.link_prefix)
    }

    /// Whether routes with this metric are the instance's.
    pub(super) fn concerns_metric(&self, metric: u32) -> bool {
        metric == self.metric
    }

    /// Makes the kernel hold what is wanted; answers what it refused, in sentences.
    ///
    /// # Errors
    /// When the kernel cannot be asked what it holds, or the tunnel link cannot be made.
    pub(super) async fn bring_to(&mut self, wanted: &Entries) -> Result<BTreeSet<String>, Error> {
        let links = Links::open()?;
        let mut held = match self.held.take() {
            Some(held) => held,
            None => self.observe(&links).await?,
        };
        let plan = plan(wanted, &held.entries);
        let mut refused = BTreeSet::new();
        for entry in plan.remove {
            match self.remove(&links, held.tunnel, entry).await {
                Ok(()) => drop(held.entries.remove(&entry)),
                Err(error) => drop(refused.insert(format!("the {entry} could not be removed: {error}"))),
            }
        }
        for entry in plan.add {
            match self.add(&links, held.tunnel, entry).await {
                Ok(()) => drop(held.entries.insert(entry)),
                Err(error) => drop(refused.insert(why_refused(entry, &error))),
            }
        }
        // What was refused may have been so because things are not as they are thought to be.
        self.held = refused.is_empty().then_some(held);
        Ok(refused)
    }

    /// Makes sure of the tunnel link and its rules, and reads everything that is the mesh's.
    async fn observe(&self, links: &Links) -> Result<Held, Error> {
        let tunnel = match self.backend {
            Backend::Vxlan => {
                untracked::prepare(&self.instance, self.node_ip)?;
                Some(links.keep_tunnel(&self.tunnel(links).await?).await?)
            }
            Backend::Routes => {
                untracked::remove(&self.instance)?;
                links.delete(&self.tunnel_name).await?;
                None
            }
        };
        let routes = links.routes(self.metric, tunnel).await?;
        let mut entries: Entries =
            routes.into_iter().map(|(to, gateway)| Entry::Route(to, gateway)).collect();
        if let Some(index) = tunnel {
            entries.extend(links.addresses(index).await?.into_iter().map(Entry::Address));
            let forwards = links.forwards(index).await?;
            entries.extend(forwards.into_iter().map(|(hardware, to)| Entry::Forward(hardware, to)));
            let neighbours = links.neighbours(index).await?;
            entries.extend(
                neighbours.into_iter().map(|(address, hardware)| Entry::Neighbour(address, hardware)),
            );
        }
        Ok(Held { tunnel, entries })
    }

    async fn tunnel(&self, links: &Links) -> Result<Tunnel, Error> {
        Ok(Tunnel {
            name: self.tunnel_name.clone(),
            network: self.tunnel_network,
            local: self.node_ip,
            hardware: hardware_address(self.node_ip),
            mtu: links.mtu_of_node(self.node_ip).await?.saturating_sub(self.backend.overhead()),
        })
    }

    async fn add(&self, links: &Links, tunnel: Option<u32>, entry: Entry) -> Result<(), Error> {
        match (entry, tunnel) {
            (Entry::Route(network, gateway), _) => {
                let source = source_address(self.node_ip);
                links.add_route((network, gateway), self.metric, tunnel, source).await
            }
            (Entry::Address(address), Some(link)) => links.add_address(link, address).await,
            (Entry::Forward(hardware, to), Some(link)) => links.add_forward(link, hardware, to).await,
            (Entry::Neighbour(address, hardware), Some(link)) => {
                links.add_neighbour(link, address, hardware).await
            }
            (_, None) => Err(Error::Ended("the tunnel link")),
        }
    }

    async fn remove(&self, links: &Links, tunnel: Option<u32>, entry: Entry) -> Result<(), Error> {
        match (entry, tunnel) {
            (Entry::Route(network, gateway), _) => {
                links.delete_route((network, gateway), self.metric, tunnel).await
            }
            (Entry::Address(address), Some(link)) => links.delete_address(link, address).await,
            (Entry::Forward(hardware, to), Some(link)) => links.delete_forward(link, hardware, to).await,
            (Entry::Neighbour(address, _), Some(link)) => links.delete_neighbour(link, address).await,
            // They went with the link.
            (_, None) => Ok(()),
        }
    }
}

fn why_refused(entry: Entry, error: &Error) -> String {
    match entry {
        Entry::Route(network, Gateway::Direct(node)) if is_no_direct_way(error) => format!(
            "the pods in {network} are unreachable: their node {node} is in none of this machine's networks, \
             which the pod network \"routes\" needs; use --pod-network vxlan"
        ),
        _ => format!("the {entry} could not be added: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns;

    #[test]
    fn a_node_that_is_on_no_network_of_this_machine_is_named_with_what_helps() {
        let (node, pods) = (Ipv4Addr::new(198, 51, 100, 3), "10.244.3.0/24".parse().unwrap());
        let refused = netns::in_private(|| {
            netns::block_on(async {
                let links = Links::open()?;
                links.set_up(links.index("lo").await?).await?;
                let cluster = "10.244.0.0/16".parse().unwrap();
                let mut kernel = Kernel::new("0123abcd", Backend::Routes, [192, 0, 2, 1].into(), cluster);
                kernel.bring_to(&Entries::from([Entry::Route(pods, Gateway::Direct(node))])).await
            })
        });
        let refused: Vec<String> = refused.unwrap().into_iter().collect();
        assert_eq!(refused.len(), 1);
        assert!(
            refused[0].contains("their node 198.51.100.3 is in none of this machine's networks"),
            "{refused:?}"
        );
        assert!(refused[0].contains("--pod-network vxlan"), "{refused:?}");
    }
}
