//! Lifecycle hooks: what runs right after a container started and before it is stopped.

use std::time::Duration;

use client::EventType::Warning;
use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use super::{Actor, RETRY};
use crate::{
    host::Host,
    plan::Kill,
    pod::{self, Role},
    probes::http,
};

/// Nobody waits longer for an answer to a hook's request.
const HTTP_TIMEOUT: Duration = Duration::from_secs(60);

/// The address that hooks of the pod's containers are sent to.
pub(super) fn pod_ip(actor: &Actor<'_>) -> String {
    let of_pod = actor.observed.ips().first();
    of_pod.or(actor.host.facts.host_ips.first()).cloned().unwrap_or_default()
}

/// Runs a hook to its end.
pub(super) async fn run(
    host: &Host,
    id: &str,
    spec: &Container,
    handler: &LifecycleHandler,
    ip: &str,
) -> Result<(), String> {
    if let Some(action) = &handler.exec {
        let cmd = action.command.clone().unwrap_or_default();
        let shown = cmd.join(" ");
        let request = v1::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: 0 };
        let answer = host.runtime.exec_sync(request).await.map_err(|status| status.message().to_owned())?;
        return match answer.exit_code {
            0 => Ok(()),
            code => Err(format!(
                "command '{shown}' exited with {code}: {}",
                String::from_utf8_lossy(&answer.stderr)
            )),
        };
    }
    if let Some(action) = &handler.http_get {
        let target = http::target(action, spec, ip)?;
        return http::get(&target, "kube-lifecycle", HTTP_TIMEOUT).await.map(drop);
    }
    if let Some(action) = &handler.sleep {
        let seconds = u64::try_from(action.seconds).unwrap_or(0);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        return Ok(());
    }
    Err("this kind of lifecycle handler is not supported".into())
}

impl Actor<'_> {
    /// A container whose post-start hook failed is killed; the restart policy decides what comes next.
    pub(super) fn hooked(&mut self, id: &str, name: &str, role: Role, result: Result<(), String>) {
        self.memory.hooks.remove(id);
        let Err(message) = result else { return };
        tracing::warn!(pod = %pod::full_name(self.pod), container = name, %message, "post-start hook failed");
        // What the hook printed may be secret: it goes into the log only.
        self.host.container_event(
            self.pod,
            (role, name),
            Warning,
            "FailedPostStartHook",
            "PostStartHook failed",
        );
        let now = Timestamp::now();
        self.memory.container(name).start_failed(
            "PostStartHookError",
            "PostStartHook failed".into(),
            now,
            RETRY,
        );
        self.kill(Kill {
            id: id.to_owned(),
            name: name.to_owned(),
            message: "FailedPostStartHook".into(),
            grace_s: pod::grace_period(self.pod),
            restart: false,
        });
    }
}
