//! The status of a Deployment. Pure.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};

use super::{
    conditions::{self, AVAILABLE, PROGRESSING, REPLICA_FAILURE},
    draft::Draft,
    sets, sizes,
};

/// Counts and availability, the other conditions as they are.
pub(super) fn calculate(draft: &Draft, now: Timestamp) -> DeploymentStatus {
    let deployment = &draft.deployment;
    let before = deployment.status.clone().unwrap_or_default();
    let sum = |field: fn(&ReplicaSet) -> i32| draft.all().map(field).sum::<i32>();
    let available = sum(sets::available);
    let mut status = DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: present(sum(actual)),
        updated_replicas: present(draft.new.as_ref().map_or(0, actual)),
        ready_replicas: present(sum(ready)),
        available_replicas: present(available),
        unavailable_replicas: present((sizes::total(draft.all()) - available).max(0)),
        terminating_replicas: terminating(draft.all()),
        collision_count: before.collision_count,
        conditions: before.conditions,
    };
    let enough = available >= sizes::wanted(deployment) - sizes::max_unavailable(deployment);
    let (value, reason, message) = match enough {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    conditions::set(&mut status, conditions::condition(AVAILABLE, value, reason, message.into(), now));
    status
}

/// Zero is absent in the served form, and must be here too, or every comparison would find a difference.
fn present(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

fn ready(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// The sum, unless a set that was synced does not tell.
fn terminating<'a>(mut sets: impl Iterator<Item = &'a ReplicaSet>) -> Option<i32> {
    sets.try_fold(0, |sum, set| {
        let status = set.status.as_ref();
        let count = status.and_then(|status| status.terminating_replicas);
        let synced = status.and_then(|status| status.observed_generation).unwrap_or(0) != 0;
        if synced { count.map(|count| sum + count) } else { Some(sum + count.unwrap_or(0)) }
    })
}

/// [`calculate`], with progress estimated and failures of the sets shown.
pub(super) fn with_progress(draft: &Draft, now: Timestamp) -> DeploymentStatus {
    let deployment = &draft.deployment;
    let mut status = calculate(draft, now);
    let before = deployment.status.clone().unwrap_or_default();
    let current = conditions::find(&before, PROGRESSING).cloned();
    if conditions::deadline(deployment).is_none() {
        conditions::remove(&mut status, PROGRESSING);
    } else if !was_complete(&status, current.as_ref()) {
        estimate_progress(draft, &before, current, &mut status, now);
    }
    match replica_failure(draft) {
        Some(failure) => conditions::set(&mut status, failure),
        None => conditions::remove(&mut status, REPLICA_FAILURE),
    }
    status
}

fn was_complete(status: &DeploymentStatus, current: Option<&DeploymentCondition>) -> bool {
    let reason = current.and_then(|condition| condition.reason.as_deref());
    status.replicas == status.updated_replicas && reason == Some(conditions::NEW_AVAILABLE)
}

fn estimate_progress(
    draft: &Draft,
    before: &DeploymentStatus,
    current: Option<DeploymentCondition>,
    status: &mut DeploymentStatus,
    now: Timestamp,
) {
    let deployment = &draft.deployment;
    let subject = match &draft.new {
        Some(set) => format!("ReplicaSet \"{}\"", set.metadata.name.as_deref().unwrap_or_default()),
        None => format!("Deployment \"{}\"", deployment.metadata.name.as_deref().unwrap_or_default()),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        conditions::set(
            status,
            conditions::condition(PROGRESSING, "True", conditions::NEW_AVAILABLE, message, now),
        );
    } else if has_progressed(before, status) {
        let message = format!("{subject} is progressing.");
        let mut condition = conditions::condition(PROGRESSING, "True", conditions::UPDATED, message, now);
        if let Some(current) = current {
            if current.status == "True" {
                condition.last_transition_time = current.last_transition_time;
            }
            // The same reason again is news here: it moves the time from which the deadline counts.
            conditions::remove(status, PROGRESSING);
        }
        conditions::set(status, condition);
    } else if conditions::has_timed_out(deployment, status, now) {
        let message = format!("{subject} has timed out progressing.");
        conditions::set(
            status,
            conditions::condition(PROGRESSING, "False", conditions::TIMED_OUT, message, now),
        );
    }
}

/// Whether all replicas are new and available, and nothing old is left.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = sizes::wanted(deployment);
    let all = |count: Option<i32>| count.unwrap_or(0) == wanted;
    all(status.updated_replicas)
        && all(status.replicas)
        && all(status.available_replicas)
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(before: &DeploymentStatus, after: &DeploymentStatus) -> bool {
    let old = |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    after.updated_replicas.unwrap_or(0) > before.updated_replicas.unwrap_or(0)
        || old(after) < old(before)
        || after.ready_replicas.unwrap_or(0) > before.ready_replicas.unwrap_or(0)
        || after.available_replicas.unwrap_or(0) > before.available_replicas.unwrap_or(0)
}

/// The failure of the new set, else of any other.
fn replica_failure(draft: &Draft) -> Option<DeploymentCondition> {
    let failure = |set: &ReplicaSet| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == REPLICA_FAILURE).cloned()
    };
    let condition = draft.new.iter().chain(&draft.old).find_map(failure)?;
    Some(DeploymentCondition {
        type_: condition.type_,
        status: condition.status,
        last_update_time: condition.last_transition_time.clone(),
        last_transition_time: condition.last_transition_time,
        reason: condition.reason,
        message: condition.message,
    })
}
