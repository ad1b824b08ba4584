//! The conditions that the kubelet owns; those of others stay as they are (upstream: status/generate.go).

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{Input, restart_all, whole_second};
use crate::pod;

const OWNED: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

#[derive(Clone, Debug, Default)]
struct Verdict {
    is_true: bool,
    reason: &'static str,
    message: String,
}

/// Fills the conditions; container statuses and phase must be there.
pub(super) fn fill(input: &Input<'_>, status: &mut PodStatus) {
    let from_api = input.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions: Vec<PodCondition> =
        from_api.into_iter().flatten().filter(|condition| !is_owned(condition)).cloned().collect();
    let on_node = pod::is_host_network(pod::spec(input.pod));
    let sandbox = Verdict { is_true: input.observed.usable_sandbox(on_node).is_some(), ..Verdict::default() };
    let containers = containers_ready(input.pod, status);
    let ready = ready(input.pod, containers.clone(), &conditions);
    let verdicts = [
        sandbox,
        initialized(input, status),
        ready,
        containers,
        Verdict { is_true: true, ..Verdict::default() },
    ];
    for (type_, verdict) in OWNED.into_iter().zip(verdicts) {
        conditions.push(condition(input, type_, verdict));
    }
    if pod::may_restart_all(pod::spec(input.pod)) {
        conditions.push(condition(input, restart_all::CONDITION, all_restarting(input, status)));
    }
    status.conditions = Some(conditions);
}

fn is_owned(condition: &PodCondition) -> bool {
    OWNED.contains(&condition.type_.as_str()) || condition.type_ == restart_all::CONDITION
}

/// Whether one container's end is about to restart all.
fn all_restarting(input: &Input<'_>, status: &PodStatus) -> Verdict {
    match status.phase.as_deref() {
        Some("Succeeded") => failed("PodCompleted"),
        Some("Failed") => failed("PodFailed"),
        _ if restart_all::is_under_way(input) && !restart_all::is_cleaned_up(input) => Verdict {
            is_true: true,
            reason: "RestartAllContainersStarted",
            message: "container exited with restart policy rule".into(),
        },
        _ => Verdict::default(),
    }
}

fn condition(input: &Input<'_>, type_: &str, verdict: Verdict) -> PodCondition {
    let status = if verdict.is_true { "True" } else { "False" };
    let old = input.old.conditions.iter().flatten().find(|old| old.type_ == type_);
    let kept = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    PodCondition {
        type_: type_.into(),
        status: status.into(),
        observed_generation: input.pod.metadata.generation,
        reason: text(verdict.reason.to_owned()),
        message: text(verdict.message),
        last_transition_time: kept.or_else(|| Some(now(input.now))),
        last_probe_time: None,
    }
}

fn now(now: Timestamp) -> Time {
    Time(whole_second(now))
}

fn containers_ready(pod: &Pod, status: &PodStatus) -> Verdict {
    let spec = pod::spec(pod);
    let sidecars = pod::init_containers(spec).iter().filter(|container| pod::is_sidecar(container));
    let names: Vec<&str> =
        sidecars.chain(&spec.containers).map(|container| container.name.as_str()).collect();
    let (unknown, unready) = sort_out(&names, status, |one| one.ready);
    match status.phase.as_deref() {
        Some("Succeeded") if unknown.is_empty() => return failed("PodCompleted"),
        Some("Failed") => return failed("PodFailed"),
        _ => {}
    }
    let message = describe(&unknown, "unready", &unready);
    Verdict {
        is_true: message.is_empty(),
        reason: if message.is_empty() { "" } else { "ContainersNotReady" },
        message,
    }
}

fn failed(reason: &'static str) -> Verdict {
    Verdict { is_true: false, reason, message: String::new() }
}

fn ready(pod: &Pod, containers: Verdict, others: &[PodCondition]) -> Verdict {
    if !containers.is_true {
        return containers;
    }
    let gates = pod::spec(pod).readiness_gates.iter().flatten();
    let unmet: Vec<String> = gates
        .filter_map(|gate| {
            let type_ = &gate.condition_type;
            match others.iter().find(|condition| condition.type_ == *type_) {
                None => {
                    Some(format!("corresponding condition of pod readiness gate {type_:?} does not exist."))
                }
                Some(condition) if condition.status != "True" => Some(format!(
                    "the status of pod readiness gate {type_:?} is not \"True\", but {}",
                    condition.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    match unmet.is_empty() {
        true => containers,
        false => Verdict { is_true: false, reason: "ReadinessGatesNotReady", message: unmet.join(", ") },
    }
}

fn initialized(input: &Input<'_>, status: &PodStatus) -> Verdict {
    let spec = pod::spec(input.pod);
    let names: Vec<&str> =
        pod::init_containers(spec).iter().map(|container| container.name.as_str()).collect();
    let is_through = |one: &ContainerStatus| {
        let spec = pod::init_containers(spec).iter().find(|container| container.name == one.name);
        if spec.is_some_and(pod::is_sidecar) { one.started == Some(true) } else { one.ready }
    };
    let (unknown, incomplete) = sort_out(&names, status, is_through);
    if status.phase.as_deref() == Some("Succeeded") && unknown.is_empty() {
        return Verdict { is_true: true, reason: "PodCompleted", message: String::new() };
    }
    let has_started = |one: &ContainerStatus| {
        one.started == Some(true)
            || one.state.as_ref().is_some_and(|state| state.terminated.is_some() || state.running.is_some())
            || one.last_state.as_ref().is_some_and(|last| last.terminated.is_some())
    };
    let message = describe(&unknown, "incomplete", &incomplete);
    if message.is_empty() || status.container_statuses.iter().flatten().any(has_started) {
        return Verdict { is_true: true, ..Verdict::default() };
    }
    Verdict { is_true: false, reason: "ContainersNotInitialized", message }
}

/// The containers without a status, and those whose status does not satisfy `is_good`.
fn sort_out<'a>(
    names: &[&'a str],
    status: &PodStatus,
    is_good: impl Fn(&ContainerStatus) -> bool,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let lists =
        || [&status.init_container_statuses, &status.container_statuses].into_iter().flatten().flatten();
    let mut unknown = Vec::new();
    let mut bad = Vec::new();
    for name in names {
        match lists().find(|one| one.name == *name) {
            None => unknown.push(*name),
            Some(one) if !is_good(one) => bad.push(*name),
            Some(_) => {}
        }
    }
    (unknown, bad)
}

fn describe(unknown: &[&str], what: &str, bad: &[&str]) -> String {
    let part = |what: &str, names: &[&str]| {
        (!names.is_empty()).then(|| format!("containers with {what} status: [{}]", names.join(" ")))
    };
    [part("unknown", unknown), part(what, bad)].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
