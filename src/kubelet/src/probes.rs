//! Liveness, readiness and startup probes: a task for each probe of each container that runs.
//!
//! The worker says which containers run and have started ([`Probers::update`]); results come back through a channel and a poke.
//! Only timers, no polling; a probe that can change nothing any more ends (upstream: kubelet/prober).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Pod, Probe};
use tokio::{sync::mpsc, task::AbortHandle};

use crate::{host::Host, pod::Role};

mod exec;
pub(crate) mod http;
mod run;
mod tcp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Liveness,
    Readiness,
    Startup,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
            Kind::Startup => "Startup",
        }
    }
}

/// What the probes of one container last said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdicts {
    pub liveness: Option<Outcome>,
    pub readiness: Option<Outcome>,
    pub startup: Option<Outcome>,
}

/// By container id.
pub(crate) type Results = HashMap<String, Verdicts>;

/// One change of a verdict.
#[derive(Debug)]
pub(crate) struct Report {
    pub id: String,
    pub kind: Kind,
    pub outcome: Outcome,
}

/// A container that runs.
pub(crate) struct Target<'a> {
    pub id: &'a str,
    pub role: Role,
    pub spec: &'a k8s_openapi::api::core::v1::Container,
    pub started_at: jiff::Timestamp,
    /// Whether its startup probe, if any, is through.
    pub has_started: bool,
}

/// The probe tasks of one pod; they end with it.
pub(crate) struct Probers {
    host: Arc<Host>,
    reports: mpsc::UnboundedSender<Report>,
    tasks: BTreeMap<(String, Kind), AbortHandle>,
}

impl Probers {
    /// Probers that report to the returned receiver.
    pub(crate) fn new(host: Arc<Host>) -> (Self, mpsc::UnboundedReceiver<Report>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        (Self { host, reports, tasks: BTreeMap::new() }, receiver)
    }

    /// Starts the probes that `targets` want now and ends those of containers that are gone.
    pub(crate) fn update(&mut self, pod: &Arc<Pod>, ip: Option<&str>, targets: &[Target<'_>]) {
        self.tasks.retain(|(id, _), task| {
            let runs = targets.iter().any(|target| target.id == id);
            if !runs {
                task.abort();
            }
            runs
        });
        for target in targets {
            for (kind, probe) in wanted(target) {
                let key = (target.id.to_owned(), kind);
                if !self.tasks.contains_key(&key) {
                    let task = self.spawn(pod, ip, target, kind, probe);
                    self.tasks.insert(key, task);
                }
            }
        }
    }

    fn spawn(
        &self,
        pod: &Arc<Pod>,
        ip: Option<&str>,
        target: &Target<'_>,
        kind: Kind,
        probe: &Probe,
    ) -> AbortHandle {
        let prober = run::Prober {
            host: self.host.clone(),
            pod: pod.clone(),
            container: target.spec.clone(),
            role: target.role,
            id: target.id.to_owned(),
            kind,
            probe: probe.clone(),
            ip: ip.unwrap_or_default().to_owned(),
        };
        tokio::spawn(prober.run(target.started_at, self.reports.clone())).abort_handle()
    }
}

impl Drop for Probers {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

/// Until a container has started only its startup probe runs, then the other two.
fn wanted<'a>(target: &Target<'a>) -> impl Iterator<Item = (Kind, &'a Probe)> {
    let spec = target.spec;
    let probes = match target.has_started {
        false => [(Kind::Startup, spec.startup_probe.as_ref()), (Kind::Startup, None)],
        true => {
            [(Kind::Liveness, spec.liveness_probe.as_ref()), (Kind::Readiness, spec.readiness_probe.as_ref())]
        }
    };
    probes.into_iter().filter_map(|(kind, probe)| Some((kind, probe?)))
}
