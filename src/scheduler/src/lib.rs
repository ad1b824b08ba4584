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
mod node_info;
mod plugins;
mod pod_index;
mod pod_info;
mod queue;
mod scheduler;
mod spread_constraint;

use std::{convert::Infallible, fmt};

use client::{Informers, Recorder};
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

/// Schedules until cancelled. After a panic it begins anew, from what the informers hold.
pub async fn run(config: Config) {
    client::keep_running(NAME, &config.cancel, |cancel| schedule(&config, cancel)).await;
}

async fn schedule(config: &Config, cancel: CancellationToken) -> Result<(), Infallible> {
    let recorder = Recorder::new(config.client.clone(), NAME, &config.host);
    let scheduler = Scheduler::new(Binder::new(config.client.clone(), recorder));
    cancel.run_until_cancelled(scheduler.run(&config.informers)).await;
    Ok(())
}
