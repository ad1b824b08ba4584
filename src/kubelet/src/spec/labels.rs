//! The labels and annotations by which sandboxes and containers are found again; names and meaning are upstream's.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::pod;

pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
pub(crate) const HASH: &str = "io.kubernetes.container.hash";
pub(crate) const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub(crate) const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub(crate) const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Which kubelet made a sandbox: the path of its data directory. Only those are ever cleaned up.
pub(crate) const MADE_BY: &str = "io.coxswain.kubelet";
const DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";
const TERMINATION_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Labels of a pod's sandbox: the pod's own and who it is.
pub(crate) fn of_sandbox(pod: &Pod) -> HashMap<String, String> {
    let own = pod.metadata.labels.clone().unwrap_or_default();
    own.into_iter().chain(identity(pod)).collect()
}

/// Labels of one container.
pub(crate) fn of_container(pod: &Pod, container: &Container) -> HashMap<String, String> {
    identity(pod).into_iter().chain([(CONTAINER_NAME.into(), container.name.clone())]).collect()
}

fn identity(pod: &Pod) -> [(String, String); 3] {
    [
        (POD_NAME.into(), pod::name(pod).into()),
        (POD_NAMESPACE.into(), pod::namespace(pod).into()),
        (POD_UID.into(), pod::uid(pod).into()),
    ]
}

/// Annotations of one container: what a later kubelet must know about it.
pub(crate) fn annotations(pod: &Pod, container: &Container, restart_count: u32) -> HashMap<String, String> {
    let spec = pod::spec(pod);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut annotations = HashMap::from([
        (HASH.to_owned(), hash(container)),
        (RESTART_COUNT.to_owned(), restart_count.to_string()),
        (TERMINATION_MESSAGE_PATH.to_owned(), text(&container.termination_message_path)),
        (TERMINATION_MESSAGE_POLICY.to_owned(), text(&container.termination_message_policy)),
    ]);
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        annotations.insert(DELETION_GRACE_PERIOD.into(), seconds.to_string());
    }
    if let Some(seconds) = spec.termination_grace_period_seconds {
        annotations.insert(TERMINATION_GRACE_PERIOD.into(), seconds.to_string());
    }
    annotations
}

/// Changes when the container must be made anew: what may change in a running pod's spec is the image.
pub(crate) fn hash(container: &Container) -> String {
    let image = container.image.as_deref().unwrap_or_default();
    let bytes = container.name.bytes().chain([0]).chain(image.bytes());
    let fnv = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{fnv:x}")
}

/// The selector that finds everything of one pod.
pub(crate) fn selector(uid: &str) -> HashMap<String, String> {
    HashMap::from([(POD_UID.to_owned(), uid.to_owned())])
}

/// A sandbox's annotations: the pod's own, and who made it.
pub(crate) fn sandbox_annotations(pod: &Pod, made_by: &str) -> HashMap<String, String> {
    let own = pod.metadata.annotations.clone().unwrap_or_default();
    own.into_iter().chain([(MADE_BY.to_owned(), made_by.to_owned())]).collect()
}
