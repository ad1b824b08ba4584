//! The scheduler: queue, snapshot, filter and score plugins, binding.
//!
//! Input are pods, nodes and namespaces from the shared informers; output are bindings, pod conditions and events through the API.
//! One task owns all state, so a scheduling cycle sees one consistent picture and needs no locks; only what talks to
//! the API server runs beside it. Plugins bear upstream's names and decide as upstream's do. No preemption: where a pod
//! does not fit, it waits.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod affinity_term;
mod binding;
mod cluster;
mod cycle;
mod diagnosis;
mod framework;
mod metrics;
mod node_info;
mod plugins;
mod pod_index;
mod pod_info;
mod queue;
mod scheduler;
mod spread_constraint;

use std::{convert::Infallible, fmt};

use client::{Informer, Informers, Recorder};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use tokio_util::sync::CancellationToken;

use self::{binding::Binder, scheduler::Scheduler};

/// The name by which pods ask for this scheduler; it is also what a pod without a name gets.
pub const NAME: &str = "default-scheduler";

/// What the scheduler is given.
#[derive(Clone)]
pub struct Config {
    /// Binds, writes conditions and events; the identity is `system:kube-scheduler`.
    pub client: kube::Client,
    /// Shared informers for pods, nodes and namespaces.
    pub informers: Informers,
    /// The name of this machine, for events.
    pub host: String,
    /// Ends the scheduler.
    pub cancel: CancellationToken,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("host", &self.host).finish_non_exhaustive()
    }
}

/// What the scheduler looks at: kept also while another schedules, so that it can take over at once.
#[derive(Clone, Debug)]
pub struct Caches {
    namespaces: Informer<Namespace>,
    nodes: Informer<Node>,
    pods: Informer<Pod>,
}

impl Caches {
    /// Those of the process, filled from now on.
    pub fn new(informers: &Informers) -> Self {
        Self { namespaces: informers.of(), nodes: informers.of(), pods: informers.of() }
    }

    /// Whether all of them are complete.
    pub fn are_synced(&self) -> bool {
        self.namespaces.is_synced() && self.nodes.is_synced() && self.pods.is_synced()
    }

    async fn synced(&self) {
        self.namespaces.synced().await;
        self.nodes.synced().await;
        self.pods.synced().await;
    }
}

/// Schedules until cancelled. After a panic it begins anew, from what the informers hold.
pub async fn run(config: Config) {
    client::keep_running(NAME, &config.cancel, |cancel| schedule(&config, cancel)).await;
}

async fn schedule(config: &Config, cancel: CancellationToken) -> Result<(), Infallible> {
    let recorder = Recorder::new(config.client.clone(), NAME, &config.host);
    let scheduler = Scheduler::new(Binder::new(config.client.clone(), recorder));
    cancel.run_until_cancelled(scheduler.run(&Caches::new(&config.informers))).await;
    Ok(())
}
