//! `restartPolicyRules` with the action `RestartAllContainers`: a container that ends so takes all others along, and the pod
//! begins anew in the sandbox that it has (upstream: KEP-5532, kuberuntime's ContainersToReset).
//!
//! That it is due can be read from the container that ended, whose traces go last: a kubelet that dies in between goes on
//! where it was. Containers for debugging stay.

use k8s_openapi::api::core::v1::{Container as Spec, Pod};

use super::{Input, Plan, Step, kill};
use crate::{
    observed::{Container, Observed, State},
    pod,
};

/// Whether the newest container of some name ended in a way that restarts all.
pub(crate) fn is_due(pod: &Pod, observed: &Observed) -> bool {
    pod::containers(pod::spec(pod)).any(|(_, container)| {
        observed.container(&container.name).is_some_and(|newest| triggers(container, newest))
    })
}

/// Stops what runs, at once; then forgets all containers, those that asked for it last.
pub(super) fn plan(input: &Input<'_>, plan: &mut Plan) {
    let spec = |seen: &Container| {
        pod::containers(pod::spec(input.pod)).map(|(_, spec)| spec).find(|spec| spec.name == seen.name)
    };
    let all: Vec<&Container> = input.observed.containers.iter().filter(|seen| spec(seen).is_some()).collect();
    let running: Vec<&&Container> =
        all.iter().filter(|container| matches!(container.state, State::Running | State::Unknown)).collect();
    for container in &running {
        kill(input, plan, container, "killing".to_owned(), 0, false);
    }
    if running.is_empty() {
        let (last, first): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|seen| spec(seen).is_some_and(|spec| triggers(spec, seen)));
        let remove =
            |container: &Container| Step::RemoveContainer { id: container.id.clone(), keeps_log: true };
        plan.steps.extend(first.into_iter().chain(last).map(remove));
    }
}

fn triggers(spec: &Spec, seen: &Container) -> bool {
    seen.state == State::Exited && pod::restarts_all_after(spec, seen.exit_code)
}
