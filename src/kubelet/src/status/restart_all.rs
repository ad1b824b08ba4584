//! What a status says while one container's end restarts all (upstream: kubelet_pods.go, status/generate.go).

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
};

use super::Input;
use crate::{plan::restart_all, pod};

pub(super) const CONDITION: &str = "AllContainersRestarting";
const REASON: &str = "RestartingAllContainers";
const MESSAGE: &str = "The container is removed because RestartAllContainers in place";

/// Whether it has begun, be it in the eyes of the status before.
pub(super) fn is_under_way(input: &Input<'_>) -> bool {
    let mut before = input.old.conditions.iter().flatten();
    restart_all::is_due(input.pod, input.observed)
        || before.any(|condition| condition.type_ == CONDITION && condition.status == "True")
}

/// Whether the runtime has forgotten all containers that are to come anew.
pub(super) fn is_cleaned_up(input: &Input<'_>) -> bool {
    let mut containers = pod::containers(pod::spec(input.pod));
    containers.all(|(_, container)| input.observed.container(&container.name).is_none())
}

/// The status of a container that was removed for this, from the one before.
pub(super) fn removed(old: &ContainerStatus) -> ContainerStatus {
    let (reason, message) = (Some(REASON.to_owned()), Some(MESSAGE.to_owned()));
    let waiting = ContainerStateWaiting { reason: reason.clone(), message: message.clone() };
    let terminated = ContainerStateTerminated { exit_code: 137, reason, message, ..Default::default() };
    ContainerStatus {
        name: old.name.clone(),
        image: old.image.clone(),
        volume_mounts: old.volume_mounts.clone(),
        restart_count: old.restart_count.saturating_add(1),
        state: Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() }),
        last_state: Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() }),
        ..ContainerStatus::default()
    }
}

/// Whether a container's end was that removal.
pub(super) fn is_removal(end: &ContainerStateTerminated) -> bool {
    end.reason.as_deref() == Some(REASON)
}
