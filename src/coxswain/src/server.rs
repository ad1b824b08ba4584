//! `coxswain server`: the control plane and a node, put together in one process; `coxswain apiserver`: the same without
//! controllers, scheduler and node.
//!
//! The order is the order in which users notice things: what can be refused is refused before anything is written,
//! then the API listens, then the parts that work through it start. Each part speaks to the API under its own name.

mod addons;
mod control_plane;
mod endpoints;
mod kubeconfig;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use ::store::Store;
use anyhow::Context;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{Config, NodeConfig};
use crate::datadir::DataDir;
use crate::host;
use crate::node::{self, Node};
use crate::parts::Parts;
use crate::pki::{self, Identity, Pki};
use crate::snapshot::moving::place;

use control_plane::ControlPlane;
use kubeconfig::Kubeconfig;

/// What several parts are made from.
struct Instance {
    config: Config,
    data: DataDir,
    pki: Arc<Pki>,
    encryption: Arc<apiserver::Encryption>,
    /// The address under which nodes and pods reach this server.
    address: Ipv4Addr,
    cancel: CancellationToken,
    /// Cancelled when the state was moved and the server is to begin anew where it is now.
    restart: CancellationToken,
}

/// Runs a server until SIGTERM or SIGINT; workloads go on when it ends.
///
/// # Errors
/// What is missing or in use, in one line; or the part that failed.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    if config.node.is_some() {
        host::check_for_node()?;
    }
    let data = DataDir::hold(&config.data_dir)?;
    // Whoever sees the first answer may end the server: it ends in order from here on.
    let told = host::told_to_end()?;
    let config = Config { store: place::follow(data.path(), config.store)?, ..config };
    let listener = TcpListener::bind(config.bind).await.with_context(|| {
        format!("cannot listen on {}: is another server running? give another with --port", config.bind)
    })?;
    let address = host::address(config.bind.ip())?;
    let encryption = config.encryption.load().await?;
    let options = store::Options { seal: encryption.clone(), ..apiserver::store_options() };
    let store = config.store.open(&data, address.into(), options).await?;
    let pki = pki(&config, &data.private("pki")?, &store).await?;
    let (cancel, restart) = (CancellationToken::new(), CancellationToken::new());
    let instance = Instance { config, data, pki, encryption, address, cancel, restart };

    let mut parts = Parts::new(instance.cancel.clone());
    let control_plane = ControlPlane::start(&instance, store, listener, &mut parts).await?;
    instance.keep_kubeconfigs(&mut parts)?;
    if let Some(loops) = &instance.config.loops {
        control_plane.start_loops(&instance, loops, &mut parts)?;
    }
    control_plane.write_addons(&instance).await?;
    control_plane.take_snapshots(&instance, &mut parts);
    if instance.config.store.is_shared() {
        control_plane.keep_endpoints(&instance, &mut parts);
    }
    if let Some(node) = &instance.config.node {
        instance.node(node, &control_plane)?.start(&mut parts).await?;
    }
    info!(address = %instance.config.bind, data = %instance.data.path().display(), "ready");

    let outcome = tokio::select! {
        () = told => Ok(()),
        failed = parts.failed() => Err(failed),
        () = instance.restart.cancelled() => Ok(()),
    };
    let ended = parts.end().await;
    control_plane.close().await;
    outcome.and(ended)?;
    if instance.restart.is_cancelled() {
        return Err(host::begin_anew()).context("cannot begin anew");
    }
    Ok(())
}

/// The cluster's keys; where several servers share a store, the same for all.
async fn pki(config: &Config, directory: &Path, store: &Store) -> anyhow::Result<Arc<Pki>> {
    if config.store.is_shared() {
        pki::shared::share(directory, store).await?;
    }
    Ok(Arc::new(Pki::open(directory)?))
}

impl Instance {
    /// The node in this process.
    fn node(&self, config: &NodeConfig, control_plane: &ControlPlane) -> anyhow::Result<Node<'_>> {
        let name = &self.config.host;
        let user = node::user(name);
        let (pki, address) = (self.pki.clone(), self.address.into());
        let (named, names) = (user.clone(), [name.clone()]);
        let identity =
            Identity::new(OffsetDateTime::now_utc, move |now| pki.server(&named, &names, &[address], now))?;
        Ok(Node {
            name: name.clone(),
            address: self.address,
            data: &self.data,
            settings: self.config.settings(),
            plain_http_registries: config.plain_http_registries.clone(),
            tls: self.pki.tls(identity)?,
            client: control_plane.client_in_group(&user, node::GROUP),
            // One decoded copy of what the parts in this process watch.
            informers: control_plane.informers.clone(),
        })
    }

    /// Where pods and other machines reach this server's API.
    fn advertised(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), self.config.bind.port())
    }

    /// Writes how this server is reached from this machine: for the administrator, and for components that run alone.
    fn keep_kubeconfigs(&self, parts: &mut Parts) -> anyhow::Result<()> {
        let bound = self.config.bind.ip();
        let host = if bound.is_unspecified() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { bound };
        let server = format!("https://{}", SocketAddr::new(host, self.config.bind.port()));
        let components = kubeconfig::COMPONENTS.into_iter().filter(|_| self.config.loops.is_none());
        for holder in [kubeconfig::ADMIN].into_iter().chain(components) {
            let (pki, file) = (self.pki.clone(), self.data.join(holder.file));
            let kubeconfig = Kubeconfig { holder, pki, file, server: server.clone() };
            kubeconfig.write()?;
            parts.keep("kubeconfig", move |cancel| kubeconfig.clone().keep_fresh(cancel));
        }
        Ok(())
    }
}
