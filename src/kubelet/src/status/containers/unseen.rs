//! The status of a container that the runtime does not know: not yet, or not any more.

use k8s_openapi::api::core::v1::{
    Container as Spec, ContainerState, ContainerStateTerminated, ContainerStatus,
};

use super::{creating, volume_mounts};
use crate::status::{Input, restart_all};

/// From the status before, and from what has become of the pod.
pub(super) fn unseen(input: &Input<'_>, container: &Spec, old: Option<&ContainerStatus>) -> ContainerStatus {
    let ended =
        |state: &Option<ContainerState>| state.as_ref().is_some_and(|state| state.terminated.is_some());
    let has_run = |old: &&ContainerStatus| old.state.as_ref().is_some_and(|state| state.waiting.is_none());
    if let Some(old) = old.filter(has_run).filter(|_| restart_all::is_under_way(input)) {
        return restart_all::removed(old);
    }
    if let Some(old) = old.filter(|old| ended(&old.state)) {
        return old.clone();
    }
    let was_running = old.and_then(|old| old.state.as_ref()).is_some_and(|state| state.running.is_some());
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        restart_count: old.map_or(0, |old| old.restart_count),
        last_state: old.and_then(|old| old.last_state.clone()),
        volume_mounts: volume_mounts(container),
        state: Some(creating(input)),
        ..ContainerStatus::default()
    };
    if was_running && !ended(&status.last_state) {
        status.last_state = Some(lost(
            "The container could not be located when the pod was deleted.  The container used to be Running",
        ));
        status.restart_count += i32::from(input.pod.metadata.deletion_timestamp.is_none());
    }
    status
}

/// How a container ended of which nothing is known but that it is gone.
pub(super) fn lost(message: &str) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".into()),
            message: Some(message.into()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

/// An init container of which nothing is left while regular ones have been made: it did what it was for.
pub(super) fn completed_unseen() -> ContainerState {
    let message = "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            reason: Some("Completed".into()),
            message: Some(message.into()),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}
