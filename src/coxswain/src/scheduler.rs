//! `coxswain scheduler`: the scheduler alone, at whichever API server its kubeconfig names; flags as kube-scheduler's.

use std::path::PathBuf;

use clap::Args;
use client::Election;

use crate::component::Component;
use crate::leader_election::{LeaderElectionOptions, SCHEDULER};
use crate::parts::Parts;

/// The arguments of `coxswain scheduler`.
#[derive(Args, Debug)]
pub(crate) struct SchedulerOptions {
    /// How the API server is reached, and as whom; upstream's user is system:kube-scheduler
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    #[command(flatten)]
    leader_election: LeaderElectionOptions,
}

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
    keep(&mut parts, election, config);
    component.run("scheduler", parts).await
}

/// Keeps the scheduler running wherever this process leads.
pub(crate) fn keep(parts: &mut Parts, election: Option<Election>, config: ::scheduler::Config) {
    parts.lead("scheduler", election, move |cancel| {
        ::scheduler::run(::scheduler::Config { cancel, ..config.clone() })
    });
}
