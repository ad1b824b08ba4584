//! `coxswain server`: the control plane and a node, put together in one process; `coxswain apiserver`: the same without
//! controllers, scheduler and node.
//!
//! The order is the order in which users notice things: what can be refused is refused before anything is written,
//! then the API listens, then the parts that work through it start. Each part speaks to the API under its own name.

pub(crate) mod addons;
mod control_plane;
mod endpoints;
mod kubeconfig;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
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
use crate::snapshot::moving::{self, departing, place};

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
    /// Cancelled when the server is to begin anew: the state was moved, or there is more of it than this server can catch up
    /// with.
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
    let mut told = pin!(host::told_to_end()?);
    // A store that is far away may be waited for without end, and nobody has been answered yet.
    let (instance, control_plane, mut parts) = tokio::select! {
        biased;
        () = &mut told => return Ok(()),
        begun = begin(config, data) => begun?,
    };
    let outcome = tokio::select! {
        () = &mut told => Ok(()),
        failed = work(&instance, &control_plane, &mut parts) => Err(failed),
        () = instance.restart.cancelled() => Ok(()),
        departure = control_plane.departed() => Err(anyhow::anyhow!("the cluster's {departure}")),
        fall = control_plane.fallen() => instance.after(fall),
    };
    let ended = parts.end().await;
    control_plane.close().await;
    outcome.and(ended)?;
    if instance.restart.is_cancelled() {
        return Err(host::begin_anew()).context("cannot begin anew");
    }
    Ok(())
}

/// Opens the store and serves the API over it.
async fn begin(config: Config, data: DataDir) -> anyhow::Result<(Instance, ControlPlane, Parts)> {
    departing::settle(data.path(), moving::open).await?;
    let config = Config { store: place::follow(data.path(), config.store)?, ..config };
    let listener = TcpListener::bind(config.bind).await.with_context(|| {
        format!("cannot listen on {}: is another server running? give another with --port", config.bind)
    })?;
    let address = host::address(config.bind.ip())?;
    let encryption = config.encryption.load().await?;
    let options = store::Options { seal: encryption.clone(), ..apiserver::store_options() };
    config.store.note(&data)?;
    let store = config.store.open(&data, address.into(), options).await?;
    let pki = pki(&config, &data.private("pki")?, &store).await?;
    let (cancel, restart) = (CancellationToken::new(), CancellationToken::new());
    let instance = Instance { config, data, pki, encryption, address, cancel, restart };
    let mut parts = Parts::new(instance.cancel.clone());
    let control_plane = ControlPlane::start(&instance, store, listener, &mut parts).await?;
    Ok((instance, control_plane, parts))
}

/// Starts what works through the API, and waits until something fails without which there is no server.
async fn work(instance: &Instance, control_plane: &ControlPlane, parts: &mut Parts) -> anyhow::Error {
    if let Err(error) = instance.start(control_plane, parts).await {
        return error;
    }
    tokio::spawn(host::memory::settle());
    info!(address = %instance.config.bind, data = %instance.data.path().display(), "ready");
    parts.failed().await
}

/// The cluster's keys; where several servers share a store, the same for all.
async fn pki(config: &Config, directory: &Path, store: &Store) -> anyhow::Result<Arc<Pki>> {
    if config.store.is_shared() {
        pki::shared::share(directory, store).await?;
    }
    Ok(Arc::new(Pki::open(directory)?))
}

impl Instance {
    /// What becomes of a server whose store cannot follow the others any longer: it begins anew where that is of use. Where
    /// the state has gone, it would found another cluster.
    fn after(&self, fall: store::Fall) -> anyhow::Result<()> {
        if fall != store::Fall::Behind {
            anyhow::bail!("{fall}");
        }
        tracing::warn!("{fall}: it does so by itself");
        self.restart.cancel();
        Ok(())
    }

    async fn start(&self, control_plane: &ControlPlane, parts: &mut Parts) -> anyhow::Result<()> {
        self.keep_kubeconfigs(parts)?;
        if let Some(loops) = &self.config.loops {
            control_plane.start_loops(self, loops, parts)?;
        }
        control_plane.write_addons(self).await?;
        control_plane.take_snapshots(self, parts);
        if self.config.store.is_shared() {
            control_plane.keep_endpoints(self, parts);
        }
        if let Some(node) = &self.config.node {
            self.node(node, control_plane)?.start(parts).await?;
        }
        Ok(())
    }

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
            thresholds: config.thresholds.clone(),
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
