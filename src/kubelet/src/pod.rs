//! Small questions about a pod's spec that several parts of the kubelet ask.
//!
//! Input is the API object only; knows nothing of what runs.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, EphemeralContainer, Pod, PodSpec};

/// The action of a restart rule that begins the pod anew.
const RESTART_ALL: &str = "RestartAllContainers";

/// Where in a spec a container stands; it decides when it starts and whether it is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with restart policy `Always`: stays beside the regular ones.
    Sidecar,
    /// Listed in `spec.containers`.
    Regular,
    /// Added to a running pod for debugging; never restarted.
    Ephemeral,
}

/// The spec of a pod; the API server never hands one out without.
pub(crate) fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().expect("the API server requires a pod's spec")
}

pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// `name_namespace(uid)`, by which messages name a pod.
pub(crate) fn full_name(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

pub(crate) fn init_containers(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}

/// Every container of a spec in the order in which they start.
pub(crate) fn containers(spec: &PodSpec) -> impl Iterator<Item = (Role, &Container)> {
    let init =
        init_containers(spec).iter().map(|c| (if is_sidecar(c) { Role::Sidecar } else { Role::Init }, c));
    init.chain(spec.containers.iter().map(|c| (Role::Regular, c)))
}

/// The container of that name, ephemeral ones included.
pub(crate) fn container(spec: &PodSpec, name: &str) -> Option<(Role, Container)> {
    let listed = containers(spec).find(|(_, c)| c.name == name).map(|(role, c)| (role, c.clone()));
    listed.or_else(|| {
        let ephemeral = spec.ephemeral_containers.as_deref().unwrap_or_default();
        ephemeral.iter().find(|c| c.name == name).map(|c| (Role::Ephemeral, from_ephemeral(c)))
    })
}

/// An ephemeral container in the form of the others, whose fields it shares.
pub(crate) fn from_ephemeral(c: &EphemeralContainer) -> Container {
    Container {
        args: c.args.clone(),
        command: c.command.clone(),
        env: c.env.clone(),
        env_from: c.env_from.clone(),
        image: c.image.clone(),
        image_pull_policy: c.image_pull_policy.clone(),
        name: c.name.clone(),
        resources: c.resources.clone(),
        security_context: c.security_context.clone(),
        stdin: c.stdin,
        stdin_once: c.stdin_once,
        termination_message_path: c.termination_message_path.clone(),
        termination_message_policy: c.termination_message_policy.clone(),
        tty: c.tty,
        volume_mounts: c.volume_mounts.clone(),
        working_dir: c.working_dir.clone(),
        ..Container::default()
    }
}

/// The field of the pod that a container's events are about, e.g. `spec.containers{web}`.
pub(crate) fn field_path(role: Role, name: &str) -> String {
    match role {
        Role::Init | Role::Sidecar => format!("spec.initContainers{{{name}}}"),
        Role::Regular => format!("spec.containers{{{name}}}"),
        Role::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
    }
}

pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

pub(crate) fn is_host_network(spec: &PodSpec) -> bool {
    spec.host_network == Some(true)
}

/// Whether a container that ended with `exit_code` runs again: its own rules and policy, then the pod's.
pub(crate) fn restarts_after(container: &Container, spec: &PodSpec, exit_code: i32) -> bool {
    if let Some(policy) = container.restart_policy.as_deref() {
        // Whatever the rule's action, the container runs again.
        return rule(container, exit_code).is_some() || policy_restarts(policy, exit_code);
    }
    policy_restarts(spec.restart_policy.as_deref().unwrap_or("Always"), exit_code)
}

/// Whether a container that ended with `exit_code` takes all others of the pod along.
pub(crate) fn restarts_all_after(container: &Container, exit_code: i32) -> bool {
    container.restart_policy.is_some()
        && rule(container, exit_code).is_some_and(|rule| rule.action == RESTART_ALL)
}

/// Whether some container may take all others of the pod along.
pub(crate) fn may_restart_all(spec: &PodSpec) -> bool {
    let mut rules =
        containers(spec).flat_map(|(_, container)| container.restart_policy_rules.iter().flatten());
    rules.any(|rule| rule.action == RESTART_ALL)
}

/// The first of a container's rules that such an end meets.
fn rule(container: &Container, exit_code: i32) -> Option<&ContainerRestartRule> {
    container.restart_policy_rules.iter().flatten().find(|rule| {
        rule.exit_codes.as_ref().is_some_and(|codes| {
            let listed = codes.values.as_ref().is_some_and(|values| values.contains(&exit_code));
            if codes.operator == "NotIn" { !listed } else { listed }
        })
    })
}

/// Whether a container of this pod may be started again at all.
pub(crate) fn may_restart(container: &Container, spec: &PodSpec) -> bool {
    let policy = container.restart_policy.as_deref().or(spec.restart_policy.as_deref());
    policy != Some("Never") || container.restart_policy_rules.is_some()
}

fn policy_restarts(policy: &str, exit_code: i32) -> bool {
    match policy {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

/// How long a deleted or stopped pod may take, in seconds.
pub(crate) fn grace_period(pod: &Pod) -> i64 {
    let requested = pod.metadata.deletion_grace_period_seconds;
    requested.or(spec(pod).termination_grace_period_seconds).unwrap_or(30)
}

/// `seconds` after `start`. Specs may ask for more than there is time: the end of time is as good.
pub(crate) fn after(start: Timestamp, seconds: i64) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(end)
}

/// Whether the phase says that nothing will run any more.
pub(crate) fn is_terminal_phase(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}
