//! The runtime asks for pod networking by its own trait; `network` does not know the runtime. They meet here.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use async_trait::async_trait;
use cri::v1;
use runtime::NetworkError;

/// Pod networking as the runtime wants it.
pub(super) struct PodNetwork(pub(super) network::Pods);

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
