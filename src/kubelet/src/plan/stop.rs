//! The way down: stop the containers, then the sandbox, then take everything away.

use super::{Input, Plan, Step, kill};
use crate::{
    observed::Container,
    pod::{self, Role},
};

/// A container always gets this long, so that it is not killed without a chance.
const MINIMUM_GRACE_S: i64 = 2;

/// The steps for a pod that must end; a deleted one is removed without a trace, an ended one keeps its last containers.
pub(super) fn plan(input: &Input<'_>, deleted: bool) -> Plan {
    let mut plan = Plan::default();
    if input.observed.running().next().is_some() {
        kill_all(input, &mut plan);
        return plan;
    }
    plan.is_done = true;
    for sandbox in input.observed.sandboxes.iter().filter(|sandbox| sandbox.is_ready) {
        plan.steps.push(Step::StopSandbox { id: sandbox.id.clone(), is_replaced: false });
    }
    if !input.memory.is_torn_down {
        plan.steps.push(Step::TearDown);
    }
    if !plan.steps.is_empty() || !deleted {
        return plan;
    }
    if !input.memory.is_forgotten {
        plan.steps.push(Step::Forget);
    } else if !input.is_removed && !input.memory.is_deleted {
        plan.steps.push(Step::Delete);
    }
    plan
}

/// Stops everything: first the regular containers, then the sidecars in the reverse of the order they started in.
pub(super) fn kill_all(input: &Input<'_>, plan: &mut Plan) {
    let spec = pod::spec(input.pod);
    let position = |name: &str| {
        pod::containers(spec).position(|(role, container)| role == Role::Sidecar && container.name == name)
    };
    let grace_s = remaining_grace(input);
    let (sidecars, others): (Vec<&Container>, Vec<_>) =
        input.observed.running().partition(|container| position(&container.name).is_some());
    if others.is_empty() {
        if let Some(last) = sidecars.into_iter().max_by_key(|container| position(&container.name)) {
            kill(input, plan, last, String::new(), grace_s, false);
        }
        return;
    }
    for container in others {
        kill(input, plan, container, String::new(), grace_s, false);
    }
}

/// What is left of the pod's grace period.
fn remaining_grace(input: &Input<'_>) -> i64 {
    let total = if input.is_removed { MINIMUM_GRACE_S } else { pod::grace_period(input.pod) };
    let since = input.memory.stopping_since.unwrap_or(input.now);
    let left = pod::after(since, total).duration_since(input.now);
    left.as_secs().max(MINIMUM_GRACE_S)
}
