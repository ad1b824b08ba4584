//! Dead containers and sandboxes that nobody will ask for again: per name the newest dead container stays.

use std::collections::BTreeSet;

use super::{Input, Plan, Step};
use crate::observed::State;

/// Plans the removal of what a running pod left behind. `sandbox` is the one in use.
pub(super) fn collect(input: &Input<'_>, plan: &mut Plan, sandbox: &str) {
    let mut kept = BTreeSet::new();
    let mut sandboxes_in_use = BTreeSet::from([sandbox]);
    for container in &input.observed.containers {
        let is_dead = matches!(container.state, State::Exited | State::Created);
        // The newest container of a name is its state; the newest dead one before it is its last state.
        let is_newest =
            input.observed.container(&container.name).is_some_and(|newest| newest.id == container.id);
        if is_newest || !is_dead || kept.insert(container.name.as_str()) {
            if is_newest && is_dead {
                kept.insert(container.name.as_str());
            }
            sandboxes_in_use.insert(container.sandbox_id.as_str());
        } else {
            plan.steps.push(Step::RemoveContainer { id: container.id.clone(), keeps_log: false });
        }
    }
    for old in &input.observed.sandboxes {
        if !old.is_ready && !sandboxes_in_use.contains(old.id.as_str()) {
            plan.steps.push(Step::RemoveSandbox { id: old.id.clone() });
        }
    }
}
