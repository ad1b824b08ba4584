//! `coxswain server`: the control plane and a node, put together in one process.
//!
//! The order is the order in which users notice things: what can be refused is refused before anything is written,
//! then the API listens, then the parts that work through it start. Each part speaks to the API under its own name.

mod addons;
mod control_plane;
mod dns_endpoints;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::datadir::DataDir;
use crate::host;
use crate::node::{self, Node};
use crate::parts::Parts;
use crate::pki::{Pki, write_private};

use control_plane::ControlPlane;

/// What several parts are made from.
struct Instance {
    config: Config,
    data: DataDir,
    pki: Pki,
    /// The address under which nodes and pods reach this server.
    address: Ipv4Addr,
    cancel: CancellationToken,
}

/// Runs a server until SIGTERM or SIGINT; workloads go on when it ends.
///
/// # Errors
/// What is missing or in use, in one line; or the part that failed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    if config.with_node {
        host::check_for_node()?;
    }
    let data = DataDir::hold(&config.data_dir)?;
    let listener = TcpListener::bind(config.bind).await.with_context(|| {
        format!("cannot listen on {}: is another server running? give another with --port", config.bind)
    })?;
    let address = host::address(config.bind.ip())?;
    let pki = Pki::open(&data.private("pki")?)?;
    let instance = Instance { config, data, pki, address, cancel: CancellationToken::new() };

    let mut parts = Parts::new(instance.cancel.clone());
    let control_plane = ControlPlane::start(&instance, listener, &mut parts).await?;
    instance.write_kubeconfig()?;
    control_plane.start_loops(&instance, &mut parts);
    control_plane.write_addons(&instance, &mut parts).await?;
    if instance.config.with_node {
        instance.node(&control_plane)?.start(&mut parts).await?;
    }
    info!(address = %instance.config.bind, data = %instance.data.path().display(), "ready");

    let outcome = tokio::select! {
        told = host::told_to_end() => told,
        failed = parts.failed() => Err(failed),
    };
    let ended = parts.end().await;
    control_plane.close().await;
    outcome.and(ended)
}

impl Instance {
    /// The node in this process.
    fn node(&self, control_plane: &ControlPlane) -> anyhow::Result<Node<'_>> {
        let name = &self.config.node_name;
        let user = node::user(name);
        let certificate = self.pki.server(&user, std::slice::from_ref(name), &[self.address.into()])?;
        Ok(Node {
            name: name.clone(),
            address: self.address,
            data: &self.data,
            settings: self.config.settings(),
            plain_http_registries: self.config.plain_http_registries.clone(),
            tls: self.pki.tls(&certificate)?,
            client: control_plane.client_in_group(&user, node::GROUP),
            // One decoded copy of what the parts in this process watch.
            informers: control_plane.informers.clone(),
        })
    }

    /// `<data-dir>/kubeconfig`: a client certificate of `system:masters`.
    fn write_kubeconfig(&self) -> anyhow::Result<()> {
        let bound = self.config.bind.ip();
        let host = if bound.is_unspecified() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { bound };
        let server = format!("https://{}", std::net::SocketAddr::new(host, self.config.bind.port()));
        let admin = self.pki.client("kubernetes-admin", "system:masters")?;
        let kubeconfig = self.pki.kubeconfig(&server, "kubernetes-admin", &admin)?;
        write_private(&self.data.join("kubeconfig"), kubeconfig.as_bytes())
    }
}
