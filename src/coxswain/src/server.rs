//! `coxswain server`: the control plane and a node, put together in one process.
//!
//! The order is the order in which users notice things: what can be refused is refused before anything is written,
//! then the API listens, then the parts that work through it start. Each part speaks to the API under its own name.

mod addons;
mod control_plane;
mod node;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::datadir::DataDir;
use crate::host;
use crate::pki::{Pki, write_private};

use control_plane::ControlPlane;

/// The parts that run until the server ends; one that fails ends the server.
type Parts = JoinSet<anyhow::Result<()>>;

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

    let mut parts = Parts::new();
    let control_plane = ControlPlane::start(&instance, listener, &mut parts).await?;
    instance.write_kubeconfig()?;
    control_plane.start_loops(&instance, &mut parts);
    if instance.config.with_node {
        node::start(&instance, &control_plane, &mut parts).await?;
    }
    info!(address = %instance.config.bind, data = %instance.data.path().display(), "ready");

    let outcome = until_told_or_failed(&mut parts).await;
    instance.cancel.cancel();
    let ended = all_ended(&mut parts).await;
    control_plane.close().await;
    outcome.and(ended)
}

async fn until_told_or_failed(parts: &mut Parts) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        Some(ended) = parts.join_next() => {
            ended.context("a part panicked")??;
            bail!("a part ended although nobody told it to")
        }
    }
}

/// Waits for every part, whatever became of the others; the first failure is the answer.
async fn all_ended(parts: &mut Parts) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = parts.join_next().await {
        outcome = outcome.and(ended.context("a part panicked while ending").flatten());
    }
    outcome
}

impl Instance {
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
