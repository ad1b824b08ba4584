//! Pod networking: a routed link per pod, no bridge.
//!
//! A pod has one address as a /32 and sends everything to a gateway, 169.254.1.1, that is nobody's address: a permanent
//! neighbour entry leads to the host's end of the link. The host has a /32 route to each pod. Called by the runtime
//! for each sandbox; keeps addresses and host ports in files ([`addresses`], [`host_ports`]), everything else is in the
//! kernel. Knows no services.

mod addresses;
mod host;
mod host_ports;
mod sandbox;
mod veth;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use ipnet::{IpNet, Ipv4Net};

pub(crate) use host::source_address;
pub use host_ports::HostPort;
pub(crate) use veth::add_pair;

use crate::{Error, ipv4, links::Links, mesh::Backend, names};
use addresses::Addresses;
use host_ports::HostPorts;

/// What pod networking is told at start.
#[derive(Clone, Debug)]
pub struct PodsConfig {
    /// The instance's id: 8 hexadecimal digits, part of the names of links and tables.
    pub instance: String,
    /// The node's address, the source of traffic from the node to its pods.
    pub node_ip: IpAddr,
    /// The network that all pods of the cluster are in.
    pub cluster_cidr: IpNet,
    /// How pods of other nodes are reached; it decides how large packets of pods may be.
    pub backend: Backend,
    /// The directory of the address records.
    pub state: PathBuf,
}

/// Attaches pods to the node's network and detaches them.
#[derive(Debug)]
pub struct Pods {
    instance: String,
    node_ip: Ipv4Addr,
    cluster_cidr: Ipv4Net,
    backend: Backend,
    addresses: Mutex<Addresses>,
    host_ports: Mutex<HostPorts>,
}

impl Pods {
    /// Pod networking over the address records in `config.state`.
    ///
    /// # Errors
    /// When the records cannot be read, or an address is not IPv4.
    pub fn new(config: PodsConfig) -> Result<Self, Error> {
        Ok(Self {
            node_ip: ipv4::address(config.node_ip)?,
            cluster_cidr: ipv4::network(config.cluster_cidr)?,
            backend: config.backend,
            host_ports: Mutex::new(HostPorts::open(&config.instance, &config.state)?),
            addresses: Mutex::new(Addresses::open(config.state)?),
            instance: config.instance,
        })
    }

    /// Sets the node's pod CIDR and makes the node forward between its pods and the world. Repeatable.
    ///
    /// # Errors
    /// When the CIDR is not usable or the kernel refuses.
    pub async fn configure(&self, pod_cidr: &str) -> Result<(), Error> {
        let network = pod_cidr.parse().map_err(|_| Error::PodCidr(pod_cidr.to_owned()))?;
        self.addresses().set_network(network)?;
        host::prepare(&self.instance, self.cluster_cidr, &self.host_ports())
    }

    /// Connects the network namespace at `netns`, leads the node's `ports` to it and answers its addresses. Repeatable:
    /// the address stays, the link is made anew, whatever a broken attempt left.
    ///
    /// # Errors
    /// When no address is free, another pod has a port, or the kernel refuses; the caller then detaches or tries again.
    pub async fn attach(
        &self,
        sandbox: &str,
        netns: &Path,
        ports: &[HostPort],
    ) -> Result<Vec<IpAddr>, Error> {
        let address = self.addresses().assign(sandbox)?;
        let host_end = names::link(&self.instance, sandbox);
        let links = Links::open()?;
        links.delete(&host_end).await?;
        let mtu = links.mtu_of_node(self.node_ip).await?.saturating_sub(self.backend.overhead());
        veth::add_pair(&links, &host_end, address, netns, mtu).await?;
        sandbox::configure(netns, address).await?;
        veth::route_to_pod(&links, &host_end, address, host::source_address(self.node_ip)).await?;
        if !ports.is_empty() {
            host::allow_loopback(&host_end)?;
            self.host_ports().lead(sandbox, address, ports)?;
        }
        Ok(vec![address.into()])
    }

    /// Removes the sandbox's host ports and link, where they still are, and frees its address. Repeatable.
    ///
    /// # Errors
    /// When the kernel refuses or the record cannot be removed.
    pub async fn detach(&self, sandbox: &str) -> Result<(), Error> {
        self.host_ports().release(sandbox)?;
        Links::open()?.delete(&names::link(&self.instance, sandbox)).await?;
        self.addresses().free(sandbox)
    }

    fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().expect("no panic happens while addresses are locked")
    }

    fn host_ports(&self) -> MutexGuard<'_, HostPorts> {
        self.host_ports.lock().expect("no panic happens while host ports are locked")
    }
}
