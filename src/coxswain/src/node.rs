//! A node: runtime, kubelet, service proxy, DNS and the way to other nodes' pods, started alike by server and agent.
//!
//! Every part speaks to the API as the node itself; containers of an earlier run are adopted, not restarted.

mod pod_network;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use client::Informers;
use controllers::DNS_PORT_ANNOTATION;
use ipnet::{IpNet, Ipv4Net};
use rustls::ServerConfig;
use tracing::warn;

use crate::config::VERSION;
use crate::datadir::DataDir;
use crate::host;
use crate::parts::Parts;
use crate::settings::Settings;
use pod_network::PodNetwork;

/// The kubelet's port, unless something else has it.
const KUBELET_PORT: u16 = 10250;
/// This machine, asking itself.
const LOOPBACK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);

/// What a node is made of.
pub(crate) struct Node<'a> {
    pub(crate) name: String,
    /// The address under which the API server and other nodes reach it.
    pub(crate) address: Ipv4Addr,
    pub(crate) data: &'a DataDir,
    pub(crate) settings: Settings,
    pub(crate) plain_http_registries: Vec<String>,
    /// What the kubelet keeps free.
    pub(crate) thresholds: kubelet::Thresholds,
    /// How the kubelet serves.
    pub(crate) tls: Arc<ServerConfig>,
    /// A client of the API under the node's own name.
    pub(crate) client: kube::Client,
    /// What proxy, DNS and mesh follow.
    pub(crate) informers: Informers,
}

/// The user that a node is.
pub(crate) fn user(name: &str) -> String {
    format!("system:node:{name}")
}

/// The group that all nodes are in.
pub(crate) const GROUP: &str = "system:nodes";

impl Node<'_> {
    /// Starts every part.
    ///
    /// # Errors
    /// What the machine does not allow, in one line.
    pub(crate) async fn start(self, parts: &mut Parts) -> anyhow::Result<()> {
        let dns_port = self.start_dns(parts).await?;
        self.start_proxy(parts);
        self.start_mesh(parts);
        let runtime = self.open_runtime().await?;
        self.start_kubelet(dns_port, runtime, parts)
    }

    async fn open_runtime(&self) -> anyhow::Result<Arc<runtime::BuiltIn>> {
        let pods = network::Pods::new(network::PodsConfig {
            instance: self.data.instance(),
            node_ip: self.address.into(),
            cluster_cidr: self.settings.cluster_cidr.into(),
            backend: self.settings.pod_network,
            state: self.data.private("network")?,
        })
        .context("cannot set up pod networking")?;
        runtime::BuiltIn::open(runtime::Config {
            root: self.data.private("runtime")?,
            import_dir: Some(self.data.join("images")),
            cgroup_root: self.data.cgroup_root(),
            executable: std::env::current_exe().context("cannot find this program's own file")?,
            plain_http_registries: self.plain_http_registries.clone(),
            network: Arc::new(PodNetwork(pods)),
        })
        .await
        .context("cannot open the container runtime")
    }

    fn start_kubelet(
        &self,
        dns_port: u16,
        runtime: Arc<runtime::BuiltIn>,
        parts: &mut Parts,
    ) -> anyhow::Result<()> {
        let config = kubelet::Config {
            node_name: self.name.clone(),
            node_ip: self.address.into(),
            annotations: BTreeMap::from([(DNS_PORT_ANNOTATION.to_owned(), dns_port.to_string())]),
            data_dir: self.data.private("kubelet")?,
            log_dir: self.data.private("logs")?.join("pods"),
            cgroup_root: self.data.cgroup_root(),
            thresholds: self.thresholds.clone(),
            cluster_dns: Some(self.settings.cluster_dns.into()),
            cluster_domain: self.settings.cluster_domain.clone(),
            port: KUBELET_PORT,
            tls: self.tls.clone(),
            version: VERSION.to_owned(),
        };
        let client = self.client.clone();
        parts.keep("kubelet", move |cancel| {
            kubelet::run(config.clone(), client.clone(), runtime.clone(), cancel)
        });
        Ok(())
    }

    fn start_proxy(&self, parts: &mut Parts) {
        let config = network::proxy::Config {
            instance: self.data.instance(),
            node_name: self.name.clone(),
            node_ip: self.address.into(),
            cluster_cidr: self.settings.cluster_cidr.into(),
            service_cidr: self.settings.service_cidr.into(),
        };
        let informers = self.informers.clone();
        parts.keep("service proxy", move |cancel| {
            network::proxy::run(config.clone(), informers.clone(), cancel)
        });
    }

    fn start_mesh(&self, parts: &mut Parts) {
        let config = network::mesh::Config {
            instance: self.data.instance(),
            node_name: self.name.clone(),
            node_ip: self.address.into(),
            cluster_cidr: self.settings.cluster_cidr.into(),
            backend: self.settings.pod_network,
        };
        let informers = self.informers.clone();
        parts.keep("mesh", move |cancel| network::mesh::run(config.clone(), informers.clone(), cancel));
    }

    /// Starts the cluster's DNS on this node's address, and says on which port.
    async fn start_dns(&self, parts: &mut Parts) -> anyhow::Result<u16> {
        let server = dns::Server::bind(dns::Config {
            bind: self.address.into(),
            port: 0,
            domain: self.settings.cluster_domain.clone(),
            upstream: resolvers(Path::new("/etc/resolv.conf")),
            clients: self.dns_clients(),
        })
        .await
        .context("cannot start the cluster's DNS")?;
        let port = server.port();
        let (server, informers) = (Arc::new(server), self.informers.clone());
        parts.keep("dns", move |cancel| {
            let (server, informers) = (server.clone(), informers.clone());
            async move { server.run(informers, cancel).await }
        });
        Ok(port)
    }

    /// Pods, and this machine by whichever of its addresses it asks.
    fn dns_clients(&self) -> Vec<IpNet> {
        let own = host::addresses().into_iter().chain([self.address]);
        let own = own.map(|address| IpNet::from(IpAddr::from(address)));
        let ranges = [self.settings.cluster_cidr, self.settings.service_cidr, LOOPBACK];
        ranges.into_iter().map(IpNet::from).chain(own).collect()
    }
}

/// The host's own resolvers, asked for names outside the cluster.
fn resolvers(resolv_conf: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(resolv_conf).unwrap_or_else(|error| {
        warn!(%error, file = %resolv_conf.display(), "cannot read the host's resolvers: pods resolve names of the cluster only");
        String::new()
    });
    text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).filter_map(resolver).collect()
}

/// The address of a `nameserver` line, which may be followed by a comment. One of a link alone (`fe80::1%eth0`) is left out.
fn resolver(line: &str) -> Option<SocketAddr> {
    let address = line.split(['#', ';']).next().unwrap_or_default().trim();
    let parsed = address.parse::<IpAddr>();
    let parsed = parsed.inspect_err(|error| warn!(%error, address, "a resolver of the host is not asked"));
    Some(SocketAddr::new(parsed.ok()?, 53))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_an_address_before_a_comment() {
        let address = |line| resolver(line).map(|found| found.to_string());
        assert_eq!(address(" 192.0.2.53 # office").as_deref(), Some("192.0.2.53:53"));
        assert_eq!(address("\t2001:db8::53;old").as_deref(), Some("[2001:db8::53]:53"));
        assert_eq!(address(" fe80::1%eth0"), None);
    }
}
