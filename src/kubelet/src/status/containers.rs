//! Container statuses: state, last state, readiness.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        Container as Spec, ContainerState, ContainerStateRunning, ContainerStateTerminated,
        ContainerStateWaiting, ContainerStatus, ContainerUser, LinuxContainerUser, PodStatus, VolumeMount,
        VolumeMountStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::{Input, whole_second};
use crate::{
    observed::{Container, State},
    pod::{self, Role},
    probes::Outcome,
    volumes::mounts::is_recursively_read_only,
};

use unseen::{completed_unseen, lost, unseen};

mod unseen;

/// Fills the lists of container statuses.
pub(super) fn fill(input: &Input<'_>, status: &mut PodStatus) {
    let spec = pod::spec(input.pod);
    let init = pod::init_containers(spec);
    let regular_created = spec.containers.iter().any(|c| input.observed.container(&c.name).is_some());

    let before = by_name(&input.old.init_container_statuses);
    let of_init = init.iter().map(|container| {
        let role = if pod::is_sidecar(container) { Role::Sidecar } else { Role::Init };
        let mut one = one(input, container, role, before.get(container.name.as_str()).copied());
        let is_unseen = input.observed.container(&container.name).is_none();
        if role == Role::Init && regular_created && is_unseen && is_waiting(&one) {
            one.state = Some(completed_unseen());
        }
        finish(input, container, role, one)
    });
    status.init_container_statuses = (!init.is_empty()).then(|| of_init.collect());

    let before = by_name(&input.old.container_statuses);
    let mut of_regular: Vec<_> = spec
        .containers
        .iter()
        .map(|container| {
            let one = one(input, container, Role::Regular, before.get(container.name.as_str()).copied());
            finish(input, container, Role::Regular, one)
        })
        .collect();
    of_regular.sort_by(|a, b| a.name.cmp(&b.name));
    status.container_statuses = Some(of_regular);

    let before = by_name(&input.old.ephemeral_container_statuses);
    status.ephemeral_container_statuses = spec.ephemeral_containers.as_ref().map(|list| {
        let containers = list.iter().map(pod::from_ephemeral);
        containers.map(|c| one(input, &c, Role::Ephemeral, before.get(c.name.as_str()).copied())).collect()
    });
}

fn by_name(list: &Option<Vec<ContainerStatus>>) -> BTreeMap<&str, &ContainerStatus> {
    list.iter().flatten().map(|status| (status.name.as_str(), status)).collect()
}

fn is_waiting(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.waiting.is_some())
}

/// The status of one container without its readiness.
fn one(input: &Input<'_>, container: &Spec, role: Role, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut records = input.observed.containers.iter().filter(|seen| seen.name == container.name);
    let (newest, previous) = (records.next(), records.next());
    let mut status = match newest {
        Some(newest) => from_record(input, container, newest),
        None => unseen(input, container, old),
    };
    if newest.is_some() {
        let before =
            previous.filter(|record| record.state == State::Exited).map(|record| terminated(input, record));
        status.last_state = before.or_else(|| kept_last_state(old, &status)).or(status.last_state);
    }
    if let Some(waiting) = input.plan.waiting.get(&container.name) {
        let reason = Some(waiting.reason.clone());
        let now_waiting =
            waiting_state(reason, Some(waiting.message.clone()).filter(|text| !text.is_empty()));
        let was = status.state.replace(now_waiting);
        if was.as_ref().is_some_and(|state| state.terminated.is_some()) {
            status.last_state = was;
        }
    } else if role != Role::Ephemeral && newest.is_some_and(|newest| input.memory.hooks.contains(&newest.id))
    {
        status.state = Some(creating(input));
    }
    status
}

/// The last state where the runtime has forgotten the record it came from.
fn kept_last_state(old: Option<&ContainerStatus>, new: &ContainerStatus) -> Option<ContainerState> {
    let old = old?;
    let ended = |state: &Option<ContainerState>| state.clone().filter(|state| state.terminated.is_some());
    if old.container_id != new.container_id {
        return ended(&old.state).or_else(|| ended(&old.last_state));
    }
    ended(&old.last_state)
}

fn from_record(input: &Input<'_>, container: &Spec, seen: &Container) -> ContainerStatus {
    let image = container.image.clone().unwrap_or_default();
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.clone());
    ContainerStatus {
        name: container.name.clone(),
        restart_count: i32::try_from(seen.restart_count).unwrap_or(i32::MAX),
        image: if seen.image.is_empty() { image } else { seen.image.clone() },
        image_id: seen.image_ref.clone(),
        container_id: Some(container_id(input, seen)),
        volume_mounts: volume_mounts(container),
        allocated_resources: requests.filter(|requests| !requests.is_empty()),
        resources: Some(container.resources.clone().unwrap_or_default()),
        user: seen.user.as_ref().map(|user| ContainerUser {
            linux: Some(LinuxContainerUser {
                uid: user.uid,
                gid: user.gid,
                supplemental_groups: Some(user.supplemental_groups.clone()).filter(|list| !list.is_empty()),
            }),
        }),
        state: Some(match seen.state {
            State::Running => ContainerState {
                running: Some(ContainerStateRunning { started_at: seen.started_at.map(api_time) }),
                ..ContainerState::default()
            },
            State::Exited => terminated(input, seen),
            State::Created | State::Unknown => waiting_state(None, None),
        }),
        ..ContainerStatus::default()
    }
}

/// What a container waits for before anything is known about it.
fn creating(input: &Input<'_>) -> ContainerState {
    let has_init = !pod::init_containers(pod::spec(input.pod)).is_empty();
    let reason = if has_init { "PodInitializing" } else { "ContainerCreating" };
    waiting_state(Some(reason.into()), None)
}

fn waiting_state(reason: Option<String>, message: Option<String>) -> ContainerState {
    ContainerState { waiting: Some(ContainerStateWaiting { reason, message }), ..ContainerState::default() }
}

fn terminated(input: &Input<'_>, seen: &Container) -> ContainerState {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(container_id(input, seen)),
            exit_code: seen.exit_code,
            reason: text(&seen.reason),
            message: text(&seen.message),
            started_at: seen.started_at.map(api_time),
            finished_at: seen.finished_at.map(api_time),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

fn container_id(input: &Input<'_>, seen: &Container) -> String {
    format!("{}://{}", input.runtime_name, seen.id)
}

fn api_time(time: Timestamp) -> Time {
    Time(whole_second(time))
}

fn volume_mounts(container: &Spec) -> Option<Vec<VolumeMountStatus>> {
    let mounts = container.volume_mounts.as_ref().filter(|mounts| !mounts.is_empty())?;
    Some(
        mounts
            .iter()
            .map(|mount| VolumeMountStatus {
                name: mount.name.clone(),
                mount_path: mount.mount_path.clone(),
                read_only: mount.read_only.filter(|read_only| *read_only),
                recursive_read_only: (mount.read_only == Some(true)).then(|| recursion(mount).into()),
                volume_status: None,
            })
            .collect(),
    )
}

/// Adds `started` and `ready`, which depend on probes.
fn finish(input: &Input<'_>, container: &Spec, role: Role, mut status: ContainerStatus) -> ContainerStatus {
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    let id = status.container_id.as_deref().and_then(|id| id.split_once("://")).map_or("", |(_, id)| id);
    let probed = input.memory.probes.get(id).cloned().unwrap_or_default();
    // What was last reported of this very container: a restart of the kubelet must not take it out of service.
    let last = old_of(input, &container.name).filter(|old| old.container_id == status.container_id);
    let started = running.is_some()
        && match probed.startup {
            Some(outcome) => outcome == Outcome::Success,
            None => container.startup_probe.is_none() || last.is_some_and(|last| last.started == Some(true)),
        };
    status.started = Some(started);
    if role == Role::Init {
        let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        status.ready = ended.is_some_and(|ended| ended.exit_code == 0);
        return status;
    }
    status.ready = started
        && match probed.readiness {
            Some(outcome) => outcome == Outcome::Success,
            None if container.readiness_probe.is_none() => true,
            None => last.is_some_and(|last| last.ready),
        };
    status
}

fn old_of<'a>(input: &'a Input<'_>, name: &str) -> Option<&'a ContainerStatus> {
    let lists = [&input.old.container_statuses, &input.old.init_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

/// Once a pod is stopped, a container without a known end has ended for an unknown reason.
pub(super) fn end_all(input: &Input<'_>, status: &mut PodStatus) {
    let has_initialized = initialized(input, status);
    let message = "The container could not be located when the pod was terminated";
    let lists = [&mut status.init_container_statuses, &mut status.container_statuses];
    for one in lists.into_iter().flatten().flatten() {
        let state = one.state.clone().unwrap_or_default();
        if state.terminated.is_some() {
            continue;
        }
        let was_ended = one.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
        if was_ended && state.waiting.is_some() {
            // It waited for a restart that will not come: its last end is its end.
            one.state = one.last_state.take();
        } else if has_initialized {
            one.state = Some(lost(message));
        }
        one.ready = false;
        one.started = Some(false);
    }
}

/// Whether any regular container has run, or all init containers have.
fn initialized(input: &Input<'_>, status: &PodStatus) -> bool {
    if pod::init_containers(pod::spec(input.pod)).is_empty() {
        return true;
    }
    let ran = |one: &ContainerStatus| {
        let state = one.state.clone().unwrap_or_default();
        one.last_state.as_ref().is_some_and(|last| last.terminated.is_some()) || state.waiting.is_none()
    };
    status.container_statuses.iter().flatten().any(ran)
        || status.init_container_statuses.iter().flatten().all(|one| one.ready)
}

fn recursion(mount: &VolumeMount) -> &'static str {
    if is_recursively_read_only(mount) { "Enabled" } else { "Disabled" }
}
