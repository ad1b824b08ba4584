//! Which of several processes works: the flags (upstream's names and defaults), the leases of our components, and the name
//! under which a process stands for election.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use client::{Election, Recorder, Standing, Terms};
use jiff::SignedDuration;
use kube::Client;
use serde_json::{Value, json};

use crate::component::serving::{self, Check};
use crate::pki::write_private;

/// Where our leases and upstream's are.
const NAMESPACE: &str = "kube-system";

/// So much longer than its lease lasts a leader may be silent before it is reported as sick (upstream's).
const TOLERATED: Duration = Duration::from_secs(20);

/// A component of which one works at a time.
pub(crate) struct Component {
    /// Its lease, upstream's name.
    pub(crate) lease: &'static str,
    /// Who reports in events, upstream's name.
    pub(crate) reporter: &'static str,
}

/// All controllers together.
pub(crate) const CONTROLLER_MANAGER: Component =
    Component { lease: "kube-controller-manager", reporter: "kube-controller-manager" };
/// The scheduler.
pub(crate) const SCHEDULER: Component = Component { lease: "kube-scheduler", reporter: ::scheduler::NAME };

impl Component {
    /// What it needs to stand for election as `identity`, through `client`.
    pub(crate) fn election(&self, client: Client, identity: String, host: &str, terms: Terms) -> Election {
        Election {
            recorder: Recorder::new(client.clone(), self.reporter, host),
            client,
            namespace: NAMESPACE.to_owned(),
            name: self.lease.to_owned(),
            identity,
            terms,
            standing: Standing::default(),
        }
    }
}

/// The flags of a component that runs alone.
#[derive(Args, Debug)]
pub(crate) struct LeaderElectionOptions {
    /// Work only while holding the component's lease, so that any number of them may run
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    leader_elect: bool,
    /// So long after the last renewal others leave the lease alone
    #[arg(long, default_value = "15s")]
    leader_elect_lease_duration: SignedDuration,
    /// So long a leader tries to renew before it stops working
    #[arg(long, default_value = "10s")]
    leader_elect_renew_deadline: SignedDuration,
    /// How often a leader renews, and how often others look
    #[arg(long, default_value = "2s")]
    leader_elect_retry_period: SignedDuration,
    /// The lease's name [default: kube-scheduler or kube-controller-manager]
    #[arg(long)]
    leader_elect_resource_name: Option<String>,
    /// The lease's namespace
    #[arg(long, default_value = NAMESPACE)]
    leader_elect_resource_namespace: String,
}

impl LeaderElectionOptions {
    /// The election that a component stands for; `None` where it works without.
    ///
    /// # Errors
    /// Durations that do not go together.
    pub(crate) fn election(
        &self,
        component: &Component,
        client: Client,
        host: &str,
    ) -> anyhow::Result<Option<Election>> {
        if !self.leader_elect {
            return Ok(None);
        }
        // As upstream: never the same twice, so that a process that was killed is waited for.
        let election = component.election(client, format!("{host}_{}", unique()), host, self.terms()?);
        Ok(Some(Election {
            namespace: self.leader_elect_resource_namespace.clone(),
            name: self.leader_elect_resource_name.clone().unwrap_or(election.name),
            ..election
        }))
    }

    /// As `/configz` shows them (`LeaderElectionConfiguration`).
    pub(crate) fn shown(&self, component: &Component) -> Value {
        json!({
            "leaderElect": self.leader_elect,
            "leaseDuration": go(self.leader_elect_lease_duration),
            "renewDeadline": go(self.leader_elect_renew_deadline),
            "retryPeriod": go(self.leader_elect_retry_period),
            "resourceLock": "leases",
            "resourceName": self.leader_elect_resource_name.as_deref().unwrap_or(component.lease),
            "resourceNamespace": self.leader_elect_resource_namespace,
        })
    }

    fn terms(&self) -> anyhow::Result<Terms> {
        let terms = Terms {
            lease: duration("--leader-elect-lease-duration", self.leader_elect_lease_duration)?,
            renew: duration("--leader-elect-renew-deadline", self.leader_elect_renew_deadline)?,
            retry: duration("--leader-elect-retry-period", self.leader_elect_retry_period)?,
        };
        ensure!(
            terms.lease > terms.renew,
            "--leader-elect-lease-duration must be longer than --leader-elect-renew-deadline: a leader must stop before \
             another begins"
        );
        ensure!(
            terms.renew > terms.retry.mul_f64(1.2),
            "--leader-elect-renew-deadline must be longer than 1.2 times --leader-elect-retry-period"
        );
        Ok(terms)
    }
}

/// The check of a health page: a leader that cannot renew its lease, and goes on, is to be killed (upstream
/// `client-go/tools/leaderelection/healthzadaptor.go`).
pub(crate) fn check(election: &Election) -> Check {
    let (standing, lease) = (election.standing.clone(), election.terms.lease);
    let why = format!("failed election to renew leadership on lease {}", election.name);
    serving::check("leaderElection", why, move || standing.is_well(lease, TOLERATED))
}

fn duration(flag: &str, given: SignedDuration) -> anyhow::Result<Duration> {
    // A Lease says whole seconds: others would wait less long than the leader goes on.
    ensure!(
        given.as_secs() >= 1 && given.subsec_nanos() == 0,
        "{flag} must be at least a second, and whole seconds"
    );
    given.try_into().context(flag.to_owned())
}

/// A duration of whole seconds as Go prints it: `15s`, `1m0s`, `1h0m0s`.
pub(crate) fn go(duration: SignedDuration) -> String {
    let all = duration.as_secs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The name of the process that holds a data directory: it stays the same, since no two processes ever hold it at once.
/// So a server that was killed leads again as soon as it is back, and waits for nobody.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn identity(file: &Path, host: &str) -> anyhow::Result<String> {
    if !file.exists() {
        write_private(file, unique().as_bytes())?;
    }
    let own = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(format!("{host}_{}", own.trim()))
}

fn unique() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: LeaderElectionOptions,
    }

    fn options(line: &str) -> LeaderElectionOptions {
        <Line as clap::Parser>::try_parse_from(line.split(' ')).unwrap().options
    }

    #[test]
    fn the_flags_have_upstreams_forms_and_defaults() {
        assert!(options("x").leader_elect && options("x --leader-elect").leader_elect);
        assert!(!options("x --leader-elect=false").leader_elect);
        let terms = options("x --leader-elect-lease-duration 1m").terms().unwrap();
        assert_eq!(options("x --leader-elect-lease-duration 1m").shown(&SCHEDULER)["leaseDuration"], "1m0s");
        assert_eq!((terms.lease.as_secs(), terms.renew.as_secs(), terms.retry.as_secs()), (60, 10, 2));
        let error = options("x --leader-elect-lease-duration 10s").terms().unwrap_err().to_string();
        assert!(error.contains("must be longer than --leader-elect-renew-deadline"), "{error}");
    }

    #[test]
    fn a_data_directory_has_one_name_for_good() {
        let file = std::env::temp_dir().join(format!("coxswain-identity-{}.name", std::process::id()));
        let first = identity(&file, "host").unwrap();
        assert_eq!(identity(&file, "host").unwrap(), first);
        std::fs::remove_file(file).unwrap();
        assert!(first.starts_with("host_") && first.len() == 37, "{first}");
    }
}
