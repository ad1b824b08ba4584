//! `coxswain scheduler`: the scheduler alone, at whichever API server its kubeconfig names; flags as kube-scheduler's.

use std::path::PathBuf;

use ::scheduler::Caches;
use clap::Args;
use client::Election;
use serde_json::json;

use crate::component::Component;
use crate::component::serving::{self, Pages, ServingOptions};
use crate::leader_election::{self, LeaderElectionOptions, SCHEDULER};
use crate::parts::Parts;

/// The arguments of `coxswain scheduler`.
#[derive(Args, Debug)]
pub(crate) struct SchedulerOptions {
    /// How the API server is reached, and as whom; upstream's user is system:kube-scheduler
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    #[command(flatten)]
    leader_election: LeaderElectionOptions,
    #[command(flatten)]
    serving: ServingOptions,
}

/// Upstream's.
const PORT: u16 = 10259;

/// Schedules until SIGTERM or SIGINT.
///
/// # Errors
/// What is wrong with the arguments.
pub(crate) async fn run(options: SchedulerOptions) -> anyhow::Result<()> {
    let component = Component::new(&options.kubeconfig).await?;
    let Component { client, host, .. } = &component;
    let election = options.leader_election.election(&SCHEDULER, client.clone(), host)?;
    let config = ::scheduler::Config {
        client: client.clone(),
        informers: component.informers.clone(),
        host: host.clone(),
        cancel: component.cancel.clone(),
    };
    let mut parts = Parts::new(component.cancel.clone());
    options.serving.start(PORT, options.pages(election.as_ref(), &component), &component, &mut parts).await?;
    keep(&mut parts, election, config);
    component.run("scheduler", parts).await
}

impl SchedulerOptions {
    fn pages(&self, election: Option<&Election>, component: &Component) -> Pages {
        let elected = || election.map(leader_election::check);
        let (caches, cancel) = (Caches::new(&component.informers), component.cancel.clone());
        let not_synced = "handlers are not fully synchronized";
        let synced = serving::check("sched-handler-sync", not_synced, move || caches.are_synced());
        let config = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": self.kubeconfig},
            "leaderElection": self.leader_election.shown(&SCHEDULER),
        });
        Pages {
            health: elected().into_iter().collect(),
            ready: elected().into_iter().chain([serving::shutdown(cancel), synced]).collect(),
            config: ("componentconfig", config),
        }
    }
}

/// Keeps the scheduler running wherever this process leads.
pub(crate) fn keep(parts: &mut Parts, election: Option<Election>, config: ::scheduler::Config) {
    parts.lead("scheduler", election, move |cancel| {
        ::scheduler::run(::scheduler::Config { cancel, ..config.clone() })
    });
}
