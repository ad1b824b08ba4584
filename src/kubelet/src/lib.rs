//! From pod specs to CRI calls and back to status.
//!
//! Pods bound to the node come from the API (`pods`), are taken or refused (`admit`), and each gets a task of its own (`worker`) that looks
//! at what runs (`observed`), decides (`plan`, pure), tells the API (`status`, pure; `report`) and does (`act`, the only caller of CRI
//! that changes anything). Beside them the node's own object (`node`) and the kubelet's API (`server`).
//!
//! Never touches a container that it did not make, and holds nothing on which containers depend: a new process finds everything
//! by the labels and annotations on sandboxes and containers.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, RwLock},
};

use client::{Informers, Recorder};
use k8s_openapi::api::core::v1::Service;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    cgroups::Cgroups, host::Host, machine::Machine, pods::Pods, references::References, tokens::Tokens,
};
pub use thresholds::{Error as ThresholdsError, EvictionHard, ImageGc, Thresholds};

mod act;
mod admit;
mod cgroups;
mod disk;
mod host;
mod image_gc;
mod images;
mod log_rotation;
mod machine;
mod memory;
mod node;
mod observed;
mod plan;
mod pod;
mod pods;
mod poke;
mod probes;
mod references;
mod report;
mod server;
mod spec;
mod status;
mod thresholds;
mod tokens;
mod volumes;
mod worker;

/// What one kubelet is told at its start.
#[derive(Clone)]
pub struct Config {
    /// The name of the Node object.
    pub node_name: String,
    /// The node's internal address; the API listens on it.
    pub node_ip: IpAddr,
    /// Annotations that the Node object gets when it is registered.
    pub annotations: BTreeMap<String, String>,
    /// Volumes and other files of pods live below it.
    pub data_dir: PathBuf,
    /// Logs are `<log_dir>/<namespace>_<name>_<uid>/<container>/<restart>.log`.
    pub log_dir: PathBuf,
    /// The cgroup below which all pods' cgroups are, e.g. `/coxswain-0123abcd`; empty leaves cgroups to the runtime.
    pub cgroup_root: String,
    /// What the node keeps free.
    pub thresholds: Thresholds,
    /// The cluster's DNS server for pods of policy `ClusterFirst`.
    pub cluster_dns: Option<IpAddr>,
    /// The DNS domain of the cluster, e.g. `cluster.local`.
    pub cluster_domain: String,
    /// Where the API listens; an ephemeral port is taken when it is in use.
    pub port: u16,
    /// Server certificate, and client authentication by the cluster's CA.
    pub tls: Arc<rustls::ServerConfig>,
    /// Reported as `nodeInfo.kubeletVersion`.
    pub version: String,
}

/// Why a kubelet cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The container runtime does not answer.
    #[error("container runtime: {}", .0.message())]
    Runtime(#[from] cri::Status),
    /// The API cannot listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where it should.
        address: SocketAddr,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A directory cannot be made.
    #[error("cannot create {}: {source}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// It was told to end before it was up.
    #[error("cancelled")]
    Cancelled,
}

/// Runs a kubelet until cancelled. What runs then goes on running, also after an error or a panic: the next kubelet finds
/// it.
pub async fn run(
    config: Config,
    client: kube::Client,
    runtime: Arc<dyn cri::Runtime>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    make_directories(&config).await?;
    let listener = listen(SocketAddr::new(config.node_ip, config.port)).await?;
    let port = listener.local_addr().map_or(config.port, |address| address.port());
    let version = runtime.version(cri::v1::VersionRequest::default()).await?;
    let (network_sender, network) = watch::channel(Err("not asked yet".to_owned()));
    let host = Arc::new(make_host(config, client, runtime, version.runtime_name.clone(), network, &cancel));
    let pods = Pods::default();
    let keeper = node::Keeper::new(host.clone(), port, version, network_sender);
    let housekeeping = async { tokio::join!(image_gc::run(host.clone()), log_rotation::run(host.clone())) };
    let (node, (), (), _) = tokio::join!(
        keeper.run(cancel.clone()),
        pods::run(host.clone(), pods.clone(), cancel.clone()),
        server::serve(host.clone(), pods, listener, cancel.clone()),
        cancel.run_until_cancelled(housekeeping),
    );
    match node {
        Err(Error::Cancelled) => Ok(()),
        other => other,
    }
}

fn make_host(
    config: Config,
    client: kube::Client,
    runtime: Arc<dyn cri::Runtime>,
    runtime_name: String,
    network: watch::Receiver<Result<(), String>>,
    cancel: &CancellationToken,
) -> Host {
    let machine = Machine::read(&config.data_dir, &config.thresholds.eviction_hard);
    let informers = Informers::new(client.clone(), cancel.clone());
    Host {
        runtime_name,
        runtime,
        recorder: Recorder::new(client.clone(), "kubelet", &config.node_name),
        services: informers.of::<Service>(),
        references: References::new(client.clone(), cancel.clone()),
        tokens: Tokens::new(client.clone()),
        cgroups: Cgroups::find(&config.cgroup_root, machine.allocatable().milli_cpu),
        node: RwLock::default(),
        facts: host::facts(&config, &machine),
        machine,
        network,
        images_changed: Notify::new(),
        client,
        config,
    }
}

async fn make_directories(config: &Config) -> Result<(), Error> {
    for path in [config.data_dir.join("pods"), config.log_dir.clone()] {
        tokio::fs::create_dir_all(&path).await.map_err(|source| Error::Directory { path, source })?;
    }
    Ok(())
}

/// Listens on `address`, or on a free port of it when its own is in use.
async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    match TcpListener::bind(address).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let address = SocketAddr::new(address.ip(), 0);
            TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
        }
        bound => bound.map_err(|source| Error::Listen { address, source }),
    }
}
