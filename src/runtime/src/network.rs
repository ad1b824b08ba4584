//! What the runtime asks of pod networking. The binary gives an implementation; the runtime knows no links or addresses.

use std::net::IpAddr;
use std::path::Path;

use cri::v1;

/// Whatever the network implementation reports; the runtime passes its text on.
pub type NetworkError = Box<dyn std::error::Error + Send + Sync>;

/// Connects network namespaces of sandboxes. All calls are idempotent.
#[async_trait::async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// Takes the range that the node's pods get addresses from, in CIDR notation.
    async fn configure(&self, pod_cidr: &str) -> Result<(), NetworkError>;

    /// Connects the network namespace pinned at `netns` for `sandbox`, leads the node's `ports` to it and answers its
    /// addresses, first the primary one. Every port has a host port.
    async fn attach(
        &self,
        sandbox: &str,
        netns: &Path,
        ports: &[v1::PortMapping],
    ) -> Result<Vec<IpAddr>, NetworkError>;

    /// Gives back everything that `attach` took; also when the namespace is gone already.
    async fn detach(&self, sandbox: &str) -> Result<(), NetworkError>;
}
