//! The service proxy: follows Services and EndpointSlices and programs the kernel so that their addresses work.
//!
//! Changes come from shared informers into [`cluster`], which says what the services that changed want; [`plan`] says
//! what is to change in the kernel; [`kernel`] does it in one transaction. The table of an earlier run stays in force
//! until everything is known, and is then replaced at once. Never touches connections that are open, and handles no
//! packet itself. Beside that, [`health_checks`] answers load balancers.

mod cluster;
mod desired;
mod health_checks;
mod kernel;
mod model;
mod plan;
mod table;
mod topology;

use std::{net::IpAddr, time::Duration};

use client::{Change, Informers, Key, Subscription};
use ipnet::IpNet;
use k8s_openapi::api::{
    core::v1::{self, Service},
    discovery::v1::EndpointSlice,
};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::{Error, ipv4, links::Links, names, pods::source_address};
use cluster::Cluster;
use desired::Node;
use health_checks::{Check, HealthChecks};
use kernel::{Kernel, Table};

/// Changes are applied at once, but not more often than this: a burst becomes few transactions.
const BETWEEN_UPDATES: Duration = Duration::from_millis(20);
/// Where a Node says in which zone it is.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// After a refused transaction.
const BEFORE_RETRY: Duration = Duration::from_secs(1);

/// What the proxy is told at start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The instance's id, part of the table's name.
    pub instance: String,
    /// The node's name, for `internalTrafficPolicy: Local` and `externalTrafficPolicy: Local`.
    pub node_name: String,
    /// The node's address: node ports are served on it.
    pub node_ip: IpAddr,
    /// The network that all pods of the cluster are in.
    pub cluster_cidr: IpNet,
    /// The network that cluster IPs are taken from.
    pub service_cidr: IpNet,
}

/// Programs the kernel with the cluster's services until cancelled. What is programmed then stays in force.
///
/// # Errors
/// When an address is not IPv4, or the kernel refuses the table at start.
pub async fn run(config: Config, informers: Informers, cancel: CancellationToken) -> Result<(), Error> {
    let proxy = Proxy::start(config, &informers);
    match cancel.run_until_cancelled(proxy).await {
        Some(proxy) => {
            let mut proxy = proxy?;
            cancel.run_until_cancelled(proxy.follow()).await;
        }
        None => tracing::debug!("cancelled before the services were known"),
    }
    Ok(())
}

struct Proxy {
    node: Node,
    nodes: Subscription<v1::Node>,
    services: Subscription<Service>,
    slices: Subscription<EndpointSlice>,
    cluster: Cluster,
    health_checks: HealthChecks,
    table: Table,
    /// Away while a blocking thread works with it.
    kernel: Option<Kernel>,
}

impl Proxy {
    /// Waits until the services are known, and programs them.
    async fn start(config: Config, informers: &Informers) -> Result<Self, Error> {
        let (cluster_cidr, service_cidr) =
            (ipv4::network(config.cluster_cidr)?, ipv4::network(config.service_cidr)?);
        let address = ipv4::address(config.node_ip)?;
        let node = Node { name: config.node_name, zone: None, address };
        let (services, slices) = (informers.of::<Service>(), informers.of::<EndpointSlice>());
        let nodes = informers.of::<v1::Node>();
        services.synced().await;
        slices.synced().await;
        nodes.synced().await;
        let mut proxy = Self {
            node,
            nodes: nodes.subscribe(),
            health_checks: HealthChecks::new(address),
            services: services.subscribe(),
            slices: slices.subscribe(),
            cluster: Cluster::default(),
            table: Table { name: names::table(&config.instance), cluster_cidr, service_cidr },
            kernel: None,
        };
        proxy.take_what_is_there();
        proxy.replace().await?;
        proxy.add_route(&config.instance).await?;
        Ok(proxy)
    }

    /// A process of this node can open a connection to a service only if some route leads there, and a machine may have
    /// no default route. A local one does: destinations are translated, and packets routed again, before they arrive
    /// anywhere. Through a unicast route by `lo` refusals are not delivered; an unreachable route fails at once. Made
    /// after the table, because a connection tried before it would be remembered as one that is not translated.
    async fn add_route(&self, instance: &str) -> Result<(), Error> {
        let (metric, source) = (names::route_metric(instance), source_address(self.node.address));
        Links::open()?.own_network(self.table.service_cidr, metric, source).await
    }

    async fn follow(&mut self) {
        while self.changed().await {
            if let Err(error) = self.update().await {
                tracing::warn!(%error, "services could not be updated, beginning anew");
                self.begin_anew().await;
            }
            tokio::time::sleep(BETWEEN_UPDATES).await;
        }
        // The informers have stopped: the process is ending.
    }

    /// Waits for a change and takes all that are there; false when there will be none any more.
    async fn changed(&mut self) -> bool {
        let change = tokio::select! {
            change = self.services.next() => change.map(|change| self.cluster.service(change)),
            change = self.slices.next() => change.map(|change| self.cluster.slice(change)),
            change = self.nodes.next() => change.map(|change| self.node_changed(&change)),
        };
        self.take_what_is_there();
        change.is_some()
    }

    fn take_what_is_there(&mut self) {
        while let Some(change) = self.services.try_next() {
            self.cluster.service(change);
        }
        while let Some(change) = self.slices.try_next() {
            self.cluster.slice(change);
        }
        while let Some(change) = self.nodes.try_next() {
            self.node_changed(&change);
        }
    }

    /// This node's zone decides which endpoints are near.
    fn node_changed(&mut self, change: &Change<v1::Node>) {
        let node = change.object();
        let labels = node.metadata.labels.as_ref();
        let zone = labels.and_then(|labels| labels.get(ZONE_LABEL)).filter(|zone| !zone.is_empty());
        if node.metadata.name.as_ref() == Some(&self.node.name) && zone != self.node.zone.as_ref() {
            self.node.zone = zone.cloned();
            self.cluster.all_changed();
        }
    }

    async fn update(&mut self) -> Result<(), Error> {
        let checks = self.cluster.health_checks(&self.node);
        let desired = self.cluster.changes(&self.node);
        let outcome = self.with_kernel(|kernel| kernel.update(desired)).await;
        self.tell_health(checks, outcome).await
    }

    async fn replace(&mut self) -> Result<(), Error> {
        self.kernel = Some(Kernel::open(self.table.clone())?);
        self.cluster.all_changed();
        let checks = self.cluster.health_checks(&self.node);
        let desired = self.cluster.everything(&self.node);
        let outcome = self.with_kernel(|kernel| kernel.replace(desired)).await;
        self.tell_health(checks, outcome).await
    }

    /// Load balancers hear of endpoints only when the kernel has them. Checks that end do so even if it refused: they
    /// will not be told again.
    async fn tell_health(
        &mut self,
        checks: Vec<(Key, Option<Check>)>,
        outcome: Result<(), Error>,
    ) -> Result<(), Error> {
        self.health_checks.set_healthy(outcome.is_ok());
        self.health_checks.update(checks).await;
        outcome
    }

    /// Replaces the table until the kernel takes it: somebody may have changed it behind our back.
    async fn begin_anew(&mut self) {
        while let Err(error) = self.replace().await {
            tracing::error!(%error, "services could not be programmed, will be tried again");
            tokio::time::sleep(BEFORE_RETRY).await;
            self.take_what_is_there();
        }
    }

    /// Netlink calls are short but block.
    async fn with_kernel<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Kernel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let mut kernel = self.kernel.take().ok_or(Error::Ended("the proxy's kernel thread"))?;
        let worked = spawn_blocking(move || {
            let outcome = work(&mut kernel);
            (kernel, outcome)
        });
        let (kernel, outcome) = worked.await.map_err(|_| Error::Ended("the proxy's kernel thread"))?;
        self.kernel = Some(kernel);
        outcome
    }
}
