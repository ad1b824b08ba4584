//! Events of the container runtime, handed to the worker of the pod they are about.

use std::{sync::Arc, time::Duration};

use cri::v1;
use futures::StreamExt;

use super::Pods;
use crate::{host::Host, spec::labels};

const RECONNECT: Duration = Duration::from_secs(1);

/// Follows the runtime's events for ever; whenever the stream (re)starts every worker looks for itself.
pub(super) async fn follow(host: Arc<Host>, pods: Pods) {
    loop {
        match host.runtime.get_container_events(v1::GetEventsRequest {}).await {
            Ok(mut events) => {
                pods.poke_all();
                while let Some(Ok(event)) = events.next().await {
                    match pod_uid(&event) {
                        Some(uid) => pods.poke(&uid),
                        None => pods.poke_all(),
                    }
                }
            }
            Err(status) => tracing::warn!(error = status.message(), "no events from the container runtime"),
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

fn pod_uid(event: &v1::ContainerEventResponse) -> Option<String> {
    let of_sandbox = event.pod_sandbox_status.as_ref().and_then(|status| status.metadata.as_ref());
    let of_container =
        || event.containers_statuses.iter().find_map(|status| status.labels.get(labels::POD_UID));
    of_sandbox
        .map(|metadata| metadata.uid.clone())
        .or_else(|| of_container().cloned())
        .filter(|uid| !uid.is_empty())
}
