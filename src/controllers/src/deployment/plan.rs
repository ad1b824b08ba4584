//! From a Deployment and its ReplicaSets to the next steps. Pure.
//!
//! One call goes as far as it can without waiting for pods; each ReplicaSet change leads to the next call.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::{conditions, draft::Draft, rollout, sets, sizes, status};

/// What to do, in this order: the steps, then the status.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// The Deployment with its new status and revision annotation, where they differ from what it has.
    pub(super) deployment: Option<Deployment>,
    /// When to look whether the progress deadline has passed.
    pub(super) next_check: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Step {
    Create(ReplicaSet),
    /// `scaled` has the sizes before and after, where they differ.
    Update {
        set: ReplicaSet,
        scaled: Option<(i32, i32)>,
    },
    Delete(ReplicaSet),
}

/// The next steps for `deployment`, which owns `owned`. `old_pods_run` tells whether pods of another ReplicaSet than the
/// one of that UID have not ended.
pub(super) fn plan(
    deployment: &Deployment,
    owned: &[Arc<ReplicaSet>],
    old_pods_run: impl Fn(Option<&str>) -> bool,
    now: Timestamp,
) -> Plan {
    let mut draft = Draft::new(deployment, owned);
    if deployment.metadata.deletion_timestamp.is_some() {
        draft.sync_new(now);
        let status = status::calculate(&draft, now);
        return finish(draft, deployment, status, now);
    }
    conditions::note_pause(&mut draft.deployment, now);
    draft.sync_new(now);

    let spec = deployment.spec.clone().unwrap_or_default();
    let paused = spec.paused == Some(true);
    if paused || is_scaling(&draft) {
        rollout::scale(&mut draft);
        if paused {
            rollout::clean_up(&mut draft);
        }
        let status = status::calculate(&draft, now);
        return finish(draft, deployment, status, now);
    }
    match sizes::is_rolling(deployment) {
        true => rollout::rolling(&mut draft, now),
        false => rollout::recreate(&mut draft, old_pods_run, now),
    }
    let status = status::with_progress(&draft, now);
    finish(draft, deployment, status, now)
}

/// Whether some active ReplicaSet was sized for another number of replicas than the Deployment has now.
fn is_scaling(draft: &Draft) -> bool {
    let wanted = sizes::wanted(&draft.deployment);
    let active = draft.all().filter(|set| sets::replicas(set) > 0);
    active.filter_map(sets::desired_annotation).any(|desired| desired != wanted)
}

fn finish(
    mut draft: Draft,
    before: &Deployment,
    status: k8s_openapi::api::apps::v1::DeploymentStatus,
    now: Timestamp,
) -> Plan {
    draft.deployment.status = Some(status);
    let after = draft.deployment;
    let changed = after.status != before.status
        || sets::revision_of(&after.metadata) != sets::revision_of(&before.metadata);
    let next_check = (!changed).then(|| conditions::next_check(&after, now)).flatten();
    Plan { steps: draft.steps, deployment: changed.then_some(after), next_check }
}
