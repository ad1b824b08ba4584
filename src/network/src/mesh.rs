//! The mesh between nodes: pods of different nodes reach each other by their own addresses.
//!
//! Input are the cluster's Nodes, each with an address and a range of pod addresses, from a shared informer; [`peers`]
//! says what the kernel should hold for them, [`plan`] what is to change, [`kernel`] changes it. Nothing is exchanged
//! between nodes: all that one needs to know of another stands in its Node. What is programmed stays in force when the
//! process ends. Carries no packet itself and knows no pods.

mod backend;
mod kernel;
mod peers;
mod plan;
mod untracked;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use client::{Informers, Subscription};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    Error, ipv4,
    links::changes::{Changes, Notice},
};
pub use backend::{Backend, UnknownBackend};
use kernel::Kernel;
use peers::Peers;

/// Changes are applied at once, but not more often than this: a burst becomes few.
const BETWEEN_UPDATES: Duration = Duration::from_millis(20);
/// After the kernel refused something, doubled each time up to [`LONGEST_WAIT`].
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the mesh is told at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The instance's id, part of the tunnel link's name and the source of the routes' metric.
    pub instance: String,
    /// The node's name.
    pub node_name: String,
    /// The address under which other nodes reach this one.
    pub node_ip: IpAddr,
    /// The network that all pods of the cluster are in.
    pub cluster_cidr: IpNet,
    /// How packets get to other nodes; the same on all of them.
    pub backend: Backend,
}

/// Keeps the ways to other nodes' pods until cancelled. What is programmed then stays in force.
///
/// # Errors
/// When an address is not IPv4, or the kernel tells nothing about links.
pub async fn run(config: Config, informers: Informers, cancel: CancellationToken) -> Result<(), Error> {
    let mut mesh = Mesh::new(config, &informers)?;
    let work = async {
        informers.of::<Node>().synced().await;
        mesh.follow().await
    };
    cancel.run_until_cancelled(work).await.unwrap_or(Ok(()))
}

struct Mesh {
    nodes: Subscription<Node>,
    peers: Peers,
    kernel: Kernel,
    /// What the machine itself does to its links and routes.
    changes: Changes,
    /// What was wrong the last time; said once.
    complaints: BTreeSet<String>,
}

impl Mesh {
    fn new(config: Config, informers: &Informers) -> Result<Self, Error> {
        let (node_ip, cluster_cidr) = (ipv4::address(config.node_ip)?, ipv4::network(config.cluster_cidr)?);
        Ok(Self {
            nodes: informers.of::<Node>().subscribe(),
            peers: Peers::new(config.node_name, node_ip, cluster_cidr),
            kernel: Kernel::new(&config.instance, config.backend, node_ip, cluster_cidr),
            changes: Changes::open()?,
            complaints: BTreeSet::new(),
        })
    }

    /// Applies changes until the informers stop.
    async fn follow(&mut self) -> Result<(), Error> {
        let mut wait = SHORTEST_WAIT;
        loop {
            self.take_what_is_there();
            let complete = self.update().await;
            wait = if complete { SHORTEST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
            sleep(BETWEEN_UPDATES).await;
            if !self.changed((!complete).then_some(wait)).await? {
                return Ok(());
            }
        }
    }

    fn take_what_is_there(&mut self) {
        while let Some(change) = self.nodes.try_next() {
            self.peers.apply(&change);
        }
    }

    /// Brings the kernel to what the nodes want; false when something is to be tried again.
    async fn update(&mut self) -> bool {
        let wanted = self.peers.wanted(self.kernel.backend());
        let outcome = self.kernel.bring_to(&wanted.entries).await;
        let mut complaints = wanted.complaints;
        let complete = match outcome {
            Ok(refused) => {
                let none = refused.is_empty();
                complaints.extend(refused);
                none
            }
            Err(error) => {
                complaints
                    .insert(format!("the ways to other nodes could not be brought up to date: {error}"));
                false
            }
        };
        for complaint in complaints.difference(&self.complaints) {
            tracing::error!("{complaint}");
        }
        if complaints.is_empty() && !self.complaints.is_empty() {
            tracing::info!("nothing stands in the way to other nodes' pods any more");
        }
        self.complaints = complaints;
        complete
    }

    /// Waits for something that calls for an update, or for `patience`; false when there will be nothing any more.
    async fn changed(&mut self, patience: Option<Duration>) -> Result<bool, Error> {
        let again = async {
            match patience {
                Some(patience) => sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(again);
        loop {
            tokio::select! {
                change = self.nodes.next() => {
                    let Some(change) = change else { return Ok(false) };
                    if self.peers.apply(&change) {
                        return Ok(true);
                    }
                }
                notice = self.changes.next() => {
                    if self.disturbs(notice)? {
                        self.kernel.doubt();
                        return Ok(true);
                    }
                }
                () = &mut again => return Ok(true),
            }
        }
    }

    /// Whether something that happened on the machine may have taken away what was programmed, or makes possible what
    /// was refused.
    fn disturbs(&mut self, notice: Option<Notice>) -> Result<bool, Error> {
        Ok(match notice {
            Some(Notice::Link(name)) => self.kernel.concerns_link(&name),
            Some(Notice::RouteGone(metric)) => self.kernel.concerns_metric(metric),
            Some(Notice::Address | Notice::Anything) => true,
            None => {
                self.changes = Changes::open()?;
                true
            }
        })
    }
}
