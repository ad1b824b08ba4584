//! What to do next for one pod: from its spec, what runs, what is remembered and the time to a list of steps.
//!
//! Pure. The worker carries the steps out (`act`), looks again and asks again, so a plan names only what can be done
//! right now and when to ask again if nothing happens (upstream: kuberuntime's computePodActions).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, Pod};

use crate::{
    memory::{Memory, Verdict, Volumes},
    observed::{Container, Observed, State},
    pod::{self, Role},
    probes::Outcome,
    spec::labels,
};

use start::start;

mod garbage;
mod init;
pub(crate) mod restart_all;
mod start;
mod stop;

/// What a plan is made from.
pub(crate) struct Input<'a> {
    pub pod: &'a Pod,
    pub observed: &'a Observed,
    pub memory: &'a Memory,
    /// Since when the kubelet knows the pod, as its status says.
    pub started_at: Option<Timestamp>,
    /// Whether the API object is gone.
    pub is_removed: bool,
    /// Whether the status says that the pod ended.
    pub is_terminal: bool,
    pub now: Timestamp,
}

/// Steps in order, and what the status should say about containers that wait.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub steps: Vec<Step>,
    pub waiting: BTreeMap<String, Waiting>,
    pub wake_at: Option<Timestamp>,
    /// Nothing runs and nothing will be started.
    pub is_done: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    pub reason: String,
    pub message: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Declare the pod failed.
    Evict(Verdict),
    PrepareVolumes,
    /// `is_replaced`: because the pod needs another one.
    StopSandbox {
        id: String,
        is_replaced: bool,
    },
    CreateSandbox {
        attempt: u32,
    },
    RemoveSandbox {
        id: String,
    },
    Start {
        name: String,
        role: Role,
    },
    Kill(Kill),
    /// `keeps_log`: until the pod is forgotten; the restarts of a container of which nothing else is left are counted by it.
    RemoveContainer {
        id: String,
        keeps_log: bool,
    },
    /// Take volumes and cgroup away.
    TearDown,
    /// Remove containers, sandboxes and files.
    Forget,
    /// Delete the API object, whose last status has been written.
    Delete,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kill {
    pub id: String,
    pub name: String,
    /// For the event; empty says that the container is being stopped.
    pub message: String,
    pub grace_s: i64,
    /// To be started again whatever the restart policy says.
    pub restart: bool,
}

/// The next steps for a pod.
pub(crate) fn plan(input: &Input<'_>) -> Plan {
    let deleted = input.pod.metadata.deletion_timestamp.is_some() || input.is_removed;
    if deleted || input.memory.evicted.is_some() || input.is_terminal {
        return stop::plan(input, deleted);
    }
    let mut plan = Plan::default();
    if let Some(deadline) = active_deadline(input) {
        if deadline <= input.now {
            plan.steps.push(Step::Evict(Verdict {
                reason: "DeadlineExceeded".into(),
                message: "Pod was active on the node longer than the specified deadline".into(),
            }));
            return plan;
        }
        plan.wake(deadline);
    }
    run(input, &mut plan);
    plan
}

fn active_deadline(input: &Input<'_>) -> Option<Timestamp> {
    let seconds = pod::spec(input.pod).active_deadline_seconds?;
    Some(pod::after(input.started_at?, seconds))
}

fn run(input: &Input<'_>, plan: &mut Plan) {
    match input.memory.volumes {
        Volumes::Unknown => plan.steps.push(Step::PrepareVolumes),
        Volumes::Failed { retry_at } if retry_at > input.now => return plan.wake(retry_at),
        Volumes::Failed { .. } => plan.steps.push(Step::PrepareVolumes),
        Volumes::Ready { refresh_at: Some(at) } if at <= input.now => plan.steps.push(Step::PrepareVolumes),
        Volumes::Ready { refresh_at } => refresh_at.into_iter().for_each(|at| plan.wake(at)),
    }
    if !matches!(input.memory.volumes, Volumes::Ready { .. }) {
        return;
    }
    if restart_all::is_due(input.pod, input.observed) {
        return restart_all::plan(input, plan);
    }
    let spec = pod::spec(input.pod);
    let Some(sandbox) = input.observed.usable_sandbox(pod::is_host_network(spec)) else {
        return new_sandbox(input, plan);
    };
    garbage::collect(input, plan, &sandbox.id);
    ephemeral(input, plan);
    match init::progress(input, plan, &sandbox.id) {
        init::Progress::Failed => plan.is_done = true,
        init::Progress::Running => {}
        init::Progress::Done => regular(input, plan),
    }
}

/// Stops what is left of an older sandbox and makes a new one, unless there is nothing to run in it.
fn new_sandbox(input: &Input<'_>, plan: &mut Plan) {
    let spec = pod::spec(input.pod);
    let newest = input.observed.sandboxes.first();
    let runs_once = spec.containers.iter().all(|container| !pod::may_restart(container, spec));
    let had_containers = newest.is_some() && !input.observed.containers.is_empty();
    let nothing_left = spec.containers.iter().all(|container| {
        input.observed.container(&container.name).is_some_and(|last| !starts_again(input, container, last))
    });
    if had_containers && (runs_once || nothing_left) {
        stop::kill_all(input, plan);
        plan.is_done = input.observed.running().next().is_none();
        return;
    }
    if input.observed.running().next().is_some() {
        return stop::kill_all(input, plan);
    }
    if let Some(retry_at) = input.memory.sandbox_retry.filter(|at| *at > input.now) {
        return plan.wake(retry_at);
    }
    for sandbox in &input.observed.sandboxes {
        plan.steps.push(Step::StopSandbox { id: sandbox.id.clone(), is_replaced: true });
    }
    // Initialisation starts anew in a new sandbox.
    let init = |container: &&Container| pod::init_containers(spec).iter().any(|c| c.name == container.name);
    for container in input.observed.containers.iter().filter(init) {
        plan.steps.push(Step::RemoveContainer { id: container.id.clone(), keeps_log: false });
    }
    plan.steps.push(Step::CreateSandbox { attempt: newest.map_or(0, |sandbox| sandbox.attempt + 1) });
}

fn ephemeral(input: &Input<'_>, plan: &mut Plan) {
    for container in pod::spec(input.pod).ephemeral_containers.iter().flatten() {
        if input.observed.container(&container.name).is_none() {
            start(input, plan, &container.name, Role::Ephemeral, None);
        }
    }
}

fn regular(input: &Input<'_>, plan: &mut Plan) {
    let mut pending = 0;
    for container in &pod::spec(input.pod).containers {
        let last = input.observed.container(&container.name);
        match last.map(|last| (last, last.state)) {
            Some((last, State::Running)) => {
                pending += 1;
                check_running(input, plan, container, last);
            }
            Some((last, State::Unknown)) => {
                pending += 1;
                let message = "Container is in \"unknown\" state, try killing it before restart".to_owned();
                kill(input, plan, last, message, pod::grace_period(input.pod), false);
            }
            Some((last, State::Exited)) if !starts_again(input, container, last) => {}
            _ => {
                pending += 1;
                start(input, plan, &container.name, Role::Regular, last);
            }
        }
    }
    plan.is_done = pending == 0;
}

/// Whether the container that ended last is followed by another one.
fn starts_again(input: &Input<'_>, container: &Spec, last: &Container) -> bool {
    let asked = input.memory.containers.get(&container.name).is_some_and(|c| c.restart_asked);
    match last.state {
        State::Exited => asked || pod::restarts_after(container, pod::spec(input.pod), last.exit_code),
        _ => true,
    }
}

/// Kills a running container whose image changed or whose probe failed.
pub(super) fn check_running(input: &Input<'_>, plan: &mut Plan, container: &Spec, running: &Container) {
    let name = &container.name;
    let spec = pod::spec(input.pod);
    let changed = running.hash != labels::hash(container);
    let init = if pod::init_containers(spec).iter().any(|c| c.name == *name) {
        "Init container"
    } else {
        "Container"
    };
    let probes = input.memory.probes.get(&running.id);
    let (what, probe) = if changed {
        ("definition changed", None)
    } else if probes.is_some_and(|p| p.liveness == Some(Outcome::Failure)) {
        ("failed liveness probe", container.liveness_probe.as_ref())
    } else if probes.is_some_and(|p| p.startup == Some(Outcome::Failure)) {
        ("failed startup probe", container.startup_probe.as_ref())
    } else {
        return;
    };
    let restart = changed || pod::may_restart(container, spec) || pod::is_sidecar(container);
    let suffix = if restart { ", will be restarted" } else { "" };
    let own_grace = probe.and_then(|probe| probe.termination_grace_period_seconds);
    let grace_s = own_grace.unwrap_or_else(|| pod::grace_period(input.pod));
    kill(input, plan, running, format!("{init} {name} {what}{suffix}"), grace_s, restart);
}

/// Stops one container, once, or again if it now has less time.
fn kill(
    input: &Input<'_>,
    plan: &mut Plan,
    container: &Container,
    message: String,
    grace_s: i64,
    restart: bool,
) {
    let deadline = pod::after(input.now, grace_s);
    // What is left of a grace period is counted in whole seconds: a second more or less is the same deadline.
    const SLACK_S: i64 = 2;
    if input.memory.killing.get(&container.id).is_some_and(|known| *known <= pod::after(deadline, SLACK_S)) {
        return;
    }
    let (id, name) = (container.id.clone(), container.name.clone());
    plan.steps.push(Step::Kill(Kill { id, name, message, grace_s, restart }));
}

impl Plan {
    /// Asks to be made again at `at`, or earlier.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

#[cfg(test)]
mod tests;
