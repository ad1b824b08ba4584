//! The phase of a pod, from the states of its containers (upstream: getPhase).

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, PodStatus};

use super::{Input, restart_all};
use crate::pod::{self, Role};

/// Fills phase, reason and message.
pub(super) fn fill(input: &Input<'_>, status: &mut PodStatus) {
    let old = input.old;
    let mut phase = from_containers(input, status);
    if input.is_stopped && !pod::is_terminal_phase(Some(phase)) {
        phase = "Failed";
    }
    // A pod that ended never comes back.
    if let Some(terminal) = old.phase.as_deref().filter(|phase| pod::is_terminal_phase(Some(phase))) {
        phase = if terminal == "Succeeded" { "Succeeded" } else { "Failed" };
    }
    if old.phase.as_deref() == Some(phase) {
        status.reason = old.reason.clone();
        status.message = old.message.clone();
    }
    if let Some(verdict) = &input.memory.evicted {
        phase = "Failed";
        status.reason = Some(verdict.reason.clone());
        status.message = Some(verdict.message.clone());
    }
    status.phase = Some(phase.into());
}

#[derive(Default)]
struct Count {
    init_pending: usize,
    sidecars_pending: usize,
    init_failed: usize,
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
}

fn from_containers(input: &Input<'_>, status: &PodStatus) -> &'static str {
    let spec = pod::spec(input.pod);
    let mut count = Count::default();
    let is_under_way = restart_all::is_under_way(input);
    for (role, container) in pod::containers(spec) {
        let lists = [&status.init_container_statuses, &status.container_statuses];
        let found = lists.into_iter().flatten().flatten().find(|status| status.name == container.name);
        // What is stopped for another's sake comes back whatever its own policy says.
        let comes_back = is_under_way || found.and_then(last_end).is_some_and(restart_all::is_removal);
        let restarts = |exit_code| comes_back || pod::restarts_after(container, spec, exit_code);
        match role {
            Role::Init => count.init(found, restarts),
            Role::Sidecar => count.sidecar(found),
            Role::Regular | Role::Ephemeral => count.regular(found, restarts),
        }
    }
    let regular_ran = spec.containers.iter().any(|container| {
        let seen = input.observed.container(&container.name);
        seen.is_some_and(|seen| seen.started_at.is_some() && is_current(input, &seen.sandbox_id))
    });
    count.phase(regular_ran, input.is_stopped)
}

fn is_current(input: &Input<'_>, sandbox: &str) -> bool {
    input.observed.sandboxes.first().is_some_and(|newest| newest.id == sandbox)
}

/// How a container that ended, now or before it waited, did so.
fn last_end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let ends = [&status.state, &status.last_state];
    ends.into_iter().flatten().find_map(|state| state.terminated.as_ref())
}

fn last_exit(status: &ContainerStatus) -> Option<i32> {
    last_end(status).map(|end| end.exit_code)
}

impl Count {
    fn init(&mut self, status: Option<&ContainerStatus>, restarts: impl Fn(i32) -> bool) {
        let state = status.and_then(|status| status.state.clone()).unwrap_or_default();
        match status.and_then(last_exit) {
            Some(0) if state.terminated.is_some() || state.waiting.is_some() => {}
            Some(code) if state.running.is_none() => self.init_failed += usize::from(!restarts(code)),
            _ => self.init_pending += 1,
        }
    }

    fn sidecar(&mut self, status: Option<&ContainerStatus>) {
        let Some(status) = status else { return self.unknown += 1 };
        let state = status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            self.sidecars_pending += usize::from(status.started != Some(true));
            self.running += 1;
        } else if last_exit(status).is_none() {
            self.sidecars_pending += 1;
            self.waiting += 1;
        }
    }

    fn regular(&mut self, status: Option<&ContainerStatus>, restarts: impl Fn(i32) -> bool) {
        let Some(status) = status else { return self.unknown += 1 };
        let state = status.state.clone().unwrap_or_default();
        if state.running.is_some() {
            self.running += 1;
        } else if let Some(code) = last_exit(status) {
            self.stopped += 1;
            self.stopped_for_good += usize::from(!restarts(code));
            self.succeeded += usize::from(state.terminated.is_some() && code == 0);
        } else if state.waiting.is_some() {
            self.waiting += 1;
        } else {
            self.unknown += 1;
        }
    }

    fn phase(&self, regular_ran: bool, is_stopped: bool) -> &'static str {
        let all_succeeded = self.stopped == self.succeeded;
        if self.init_failed > 0 {
            "Failed"
        } else if self.init_pending > 0 || (self.sidecars_pending > 0 && !regular_ran) || self.waiting > 0 {
            "Pending"
        } else if self.running > 0 && self.unknown == 0 {
            "Running"
        } else if self.running == 0 && self.stopped > 0 && self.unknown == 0 {
            match (is_stopped || self.stopped == self.stopped_for_good, all_succeeded) {
                (false, _) => "Running",
                (true, true) => "Succeeded",
                (true, false) => "Failed",
            }
        } else {
            "Pending"
        }
    }
}
