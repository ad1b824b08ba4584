//! The conditions of a Deployment: reasons and messages are upstream's. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

pub(super) const PROGRESSING: &str = "Progressing";
pub(super) const AVAILABLE: &str = "Available";
pub(super) const REPLICA_FAILURE: &str = "ReplicaFailure";

pub(super) const UPDATED: &str = "ReplicaSetUpdated";
pub(super) const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";
pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const FAILED_CREATE: &str = "ReplicaSetCreateError";
const CREATED: &str = "NewReplicaSetCreated";
const FOUND: &str = "FoundNewReplicaSet";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

/// A condition that came about at `now`.
pub(super) fn condition(
    type_: &str,
    status: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: type_.into(),
        status: status.into(),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
        reason: Some(reason.into()),
        message: Some(message),
    }
}

pub(super) fn find<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == type_)
}

/// Sets a condition; one with the same status and reason stays as it is.
pub(super) fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(present) = find(status, &condition.type_)
        && present.status == condition.status
    {
        if present.reason == condition.reason {
            return;
        }
        condition.last_transition_time = present.last_transition_time.clone();
    }
    remove(status, &condition.type_.clone());
    status.conditions.get_or_insert_default().push(condition);
}

pub(super) fn remove(status: &mut DeploymentStatus, type_: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != type_);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

/// The seconds without progress that count as failure, if any number does.
pub(super) fn deadline(deployment: &Deployment) -> Option<i64> {
    let seconds = deployment.spec.as_ref().and_then(|spec| spec.progress_deadline_seconds);
    seconds.filter(|seconds| *seconds != i32::MAX).map(i64::from)
}

/// Progress is not measured while paused: notes pausing and resuming, unless a time-out was reported already.
pub(super) fn note_pause(deployment: &mut Deployment, now: Timestamp) {
    if deadline(deployment).is_none() {
        return;
    }
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
    let status = deployment.status.get_or_insert_default();
    let reason = find(status, PROGRESSING).and_then(|condition| condition.reason.as_deref());
    let (reason, message) = match (paused, reason) {
        (_, Some(TIMED_OUT)) => return,
        (true, reason) if reason != Some(PAUSED) => (PAUSED, "Deployment is paused"),
        (false, Some(PAUSED)) => (RESUMED, "Deployment is resumed"),
        _ => return,
    };
    set(status, condition(PROGRESSING, "Unknown", reason, message.into(), now));
}

/// Progress begins with a set that was there already.
pub(super) fn note_found(deployment: &mut Deployment, set_name: &str, now: Timestamp) {
    let known = deployment.status.as_ref().is_some_and(|status| find(status, PROGRESSING).is_some());
    if !known {
        note_progress(deployment, FOUND, format!("Found new replica set \"{set_name}\""), now);
    }
}

/// Progress begins with a set just created.
pub(super) fn note_created(deployment: &mut Deployment, set_name: &str, now: Timestamp) {
    note_progress(deployment, CREATED, format!("Created new replica set \"{set_name}\""), now);
}

fn note_progress(deployment: &mut Deployment, reason: &str, message: String, now: Timestamp) {
    if deadline(deployment).is_some() {
        let status = deployment.status.get_or_insert_default();
        set(status, condition(PROGRESSING, "True", reason, message, now));
    }
}

/// The Deployment with the condition that its new set could not be created; `None` where no deadline is set.
pub(super) fn failed_to_create(
    deployment: &Deployment,
    message: String,
    now: Timestamp,
) -> Option<Deployment> {
    deadline(deployment)?;
    let mut failed = deployment.clone();
    let status = failed.status.get_or_insert_default();
    set(status, condition(PROGRESSING, "False", FAILED_CREATE, message, now));
    (failed.status != deployment.status).then_some(failed)
}

/// Whether the last sign of progress is longer ago than the deadline.
pub(super) fn has_timed_out(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> bool {
    let (Some(deadline), Some(progressing)) = (deadline(deployment), find(status, PROGRESSING)) else {
        return false;
    };
    match progressing.reason.as_deref() {
        Some(NEW_AVAILABLE) => false,
        Some(TIMED_OUT) => true,
        _ => progressing
            .last_update_time
            .as_ref()
            .is_some_and(|since| now.duration_since(since.0) > SignedDuration::from_secs(deadline)),
    }
}

/// When to look again whether the deadline has passed; `None` where nothing is awaited.
pub(super) fn next_check(deployment: &Deployment, now: Timestamp) -> Option<Duration> {
    let status = deployment.status.as_ref()?;
    let (deadline, progressing) = (deadline(deployment)?, find(status, PROGRESSING)?);
    if super::status::is_complete(deployment, status) || progressing.reason.as_deref() == Some(TIMED_OUT) {
        return None;
    }
    let due = progressing.last_update_time.as_ref()?.0 + SignedDuration::from_secs(deadline + 1);
    Some(Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO).max(Duration::from_secs(1)))
}
