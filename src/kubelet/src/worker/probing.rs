//! Which containers are probed now, and what came of it.

use k8s_openapi::api::core::v1::PodStatus;

use super::Worker;
use crate::{
    observed::{Observed, State},
    pod::{self, Role},
    probes::{Kind, Outcome, Report, Target},
    spec::labels,
};

impl Worker {
    /// Takes in a probe's verdict.
    pub(super) fn probed(&mut self, report: Report) {
        let verdicts = self.memory.probes.entry(report.id).or_default();
        match report.kind {
            Kind::Liveness => verdicts.liveness = Some(report.outcome),
            Kind::Readiness => verdicts.readiness = Some(report.outcome),
            Kind::Startup => verdicts.startup = Some(report.outcome),
        }
    }

    /// Starts and ends probes, so that those run whose containers run and have to.
    pub(super) fn update_probers(&mut self, observed: &Observed, status: &PodStatus) {
        let spec = pod::spec(&self.pod);
        let stopping = self.pod.metadata.deletion_timestamp.is_some() || self.is_removed;
        let lists = [&status.init_container_statuses, &status.container_statuses];
        let started = |name: &str| {
            let mut all = lists.into_iter().flatten().flatten();
            all.any(|one| one.name == name && one.started == Some(true))
        };
        let targets: Vec<Target<'_>> = pod::containers(spec)
            .filter_map(|(role, spec)| {
                let seen = observed.container(&spec.name).filter(|seen| seen.state == State::Running)?;
                let runs = role != Role::Init && seen.hash == labels::hash(spec);
                let failed =
                    |id| self.memory.probes.get(id).is_some_and(|v| v.liveness == Some(Outcome::Failure));
                (runs && !failed(&seen.id)).then_some(Target {
                    id: &seen.id,
                    role,
                    spec,
                    started_at: seen.started_at?,
                    has_started: started(&spec.name),
                })
            })
            .collect();
        // Once a pod is on its way out only readiness matters, and that is decided by its deletion.
        let targets = if stopping { &[] } else { targets.as_slice() };
        let ip = status.pod_ip.as_deref();
        self.probers.update(&self.pod, ip, targets);
    }
}
