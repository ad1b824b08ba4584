//! The node in this process: runtime, kubelet, service proxy and DNS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use cri::v1;
use runtime::NetworkError;
use tracing::warn;

use super::addons;
use super::control_plane::ControlPlane;
use super::{Instance, Parts};
use crate::config::VERSION;

/// The kubelet's port, unless something else has it.
const KUBELET_PORT: u16 = 10250;

/// Starts every part of the node. Containers of an earlier run are adopted, not restarted.
pub(super) async fn start(
    instance: &Instance,
    control_plane: &ControlPlane,
    parts: &mut Parts,
) -> anyhow::Result<()> {
    start_dns(instance, control_plane, parts).await?;
    start_proxy(instance, control_plane, parts);
    let runtime = open_runtime(instance).await?;
    start_kubelet(instance, control_plane, runtime, parts)
}

async fn open_runtime(instance: &Instance) -> anyhow::Result<Arc<runtime::BuiltIn>> {
    let pods = network::Pods::new(network::PodsConfig {
        instance: instance.data.instance(),
        node_ip: instance.address.into(),
        cluster_cidr: instance.config.cluster_cidr.into(),
        state: instance.data.private("network")?,
    })
    .context("cannot set up pod networking")?;
    runtime::BuiltIn::open(runtime::Config {
        root: instance.data.private("runtime")?,
        import_dir: Some(instance.data.join("images")),
        cgroup_root: instance.data.cgroup_root(),
        executable: std::env::current_exe().context("cannot find this program's own file")?,
        plain_http_registries: instance.config.plain_http_registries.clone(),
        network: Arc::new(PodNetwork(pods)),
    })
    .await
    .context("cannot open the container runtime")
}

fn start_kubelet(
    instance: &Instance,
    control_plane: &ControlPlane,
    runtime: Arc<runtime::BuiltIn>,
    parts: &mut Parts,
) -> anyhow::Result<()> {
    let name = &instance.config.node_name;
    let user = format!("system:node:{name}");
    let certificate = instance.pki.server(&user, std::slice::from_ref(name), &[instance.address.into()])?;
    let config = kubelet::Config {
        node_name: name.clone(),
        node_ip: instance.address.into(),
        data_dir: instance.data.private("kubelet")?,
        log_dir: instance.data.private("logs")?.join("pods"),
        cgroup_root: instance.data.cgroup_root(),
        cluster_dns: Some(instance.config.dns_ip().into()),
        cluster_domain: instance.config.cluster_domain.clone(),
        port: KUBELET_PORT,
        tls: instance.pki.tls(&certificate)?,
        version: VERSION.to_owned(),
    };
    let client = control_plane.client_in_group(&user, "system:nodes");
    let cancel = instance.cancel.clone();
    parts.spawn(
        async move { kubelet::run(config, client, runtime, cancel).await.context("the kubelet failed") },
    );
    Ok(())
}

fn start_proxy(instance: &Instance, control_plane: &ControlPlane, parts: &mut Parts) {
    let config = network::proxy::Config {
        instance: instance.data.instance(),
        node_name: instance.config.node_name.clone(),
        node_ip: instance.address.into(),
        cluster_cidr: instance.config.cluster_cidr.into(),
        service_cidr: instance.config.service_cidr.into(),
    };
    let (informers, cancel) = (control_plane.informers.clone(), instance.cancel.clone());
    parts.spawn(async move {
        network::proxy::run(config, informers, cancel).await.context("the service proxy failed")
    });
}

async fn start_dns(
    instance: &Instance,
    control_plane: &ControlPlane,
    parts: &mut Parts,
) -> anyhow::Result<()> {
    let server = dns::Server::bind(dns::Config {
        bind: instance.address.into(),
        port: 0,
        domain: instance.config.cluster_domain.clone(),
        upstream: resolvers(Path::new("/etc/resolv.conf")),
    })
    .await
    .context("cannot start the cluster's DNS")?;
    let answers = SocketAddr::new(instance.address.into(), server.port());
    let addons = control_plane.client_in_group("system:coxswain:addons", "system:masters");
    addons::dns(&addons, instance.config.dns_ip(), answers)
        .await
        .context("cannot publish the DNS service")?;
    let (informers, cancel) = (control_plane.informers.clone(), instance.cancel.clone());
    parts.spawn(async move { server.run(informers, cancel).await.context("the cluster's DNS failed") });
    Ok(())
}

/// The host's own resolvers, asked for names outside the cluster.
fn resolvers(resolv_conf: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(resolv_conf).unwrap_or_else(|error| {
        warn!(%error, file = %resolv_conf.display(), "cannot read the host's resolvers: pods resolve names of the cluster only");
        String::new()
    });
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|address| address.trim().parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .collect()
}

/// The runtime asks for pod networking by its own trait; `network` does not know the runtime. They meet here.
struct PodNetwork(network::Pods);

#[async_trait]
impl runtime::PodNetwork for PodNetwork {
    async fn configure(&self, pod_cidr: &str) -> Result<(), NetworkError> {
        Ok(self.0.configure(pod_cidr).await?)
    }

    async fn attach(
        &self,
        sandbox: &str,
        netns: &Path,
        ports: &[v1::PortMapping],
    ) -> Result<Vec<IpAddr>, NetworkError> {
        let ports = ports.iter().map(host_port).collect::<Result<Vec<_>, _>>()?;
        Ok(self.0.attach(sandbox, netns, &ports).await?)
    }

    async fn detach(&self, sandbox: &str) -> Result<(), NetworkError> {
        Ok(self.0.detach(sandbox).await?)
    }
}

fn host_port(mapping: &v1::PortMapping) -> Result<network::HostPort, NetworkError> {
    let address = match mapping.host_ip.as_str() {
        "" => Ipv4Addr::UNSPECIFIED,
        text => text.parse().map_err(|_| format!("host port at {text}: only IPv4 is supported"))?,
    };
    Ok(network::HostPort {
        protocol: match mapping.protocol() {
            v1::Protocol::Tcp => 6,
            v1::Protocol::Udp => 17,
            v1::Protocol::Sctp => 132,
        },
        address,
        port: mapping.host_port.try_into()?,
        pod_port: mapping.container_port.try_into()?,
    })
}
