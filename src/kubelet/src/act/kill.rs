//! Stopping a container: hook, signal, patience.

use std::time::{Duration, Instant};

use client::EventType::{Normal, Warning};
use cri::v1;
use jiff::Timestamp;

use super::{Actor, Done, hook};
use crate::{
    plan::Kill,
    pod::{self, Role},
};

const MINIMUM_GRACE_S: i64 = 2;

impl Actor<'_> {
    pub(super) fn kill(&mut self, kill: Kill) {
        let found = pod::container(pod::spec(self.pod), &kill.name);
        let role = found.as_ref().map_or(Role::Regular, |(role, _)| *role);
        let again = self.memory.killing.contains_key(&kill.id);
        let deadline = pod::after(Timestamp::now(), kill.grace_s);
        self.memory.killing.insert(kill.id.clone(), deadline);
        if kill.restart {
            self.memory.container(&kill.name).restart_asked = true;
        }
        let message = match kill.message.is_empty() {
            true => format!("Stopping container {}", kill.name),
            false => kill.message,
        };
        self.host.container_event(self.pod, (role, &kill.name), Normal, "Killing", message);
        let (host, pod, ip) = (self.host.clone(), self.pod.clone(), hook::pod_ip(self));
        let spec = found.map(|(_, spec)| spec).filter(|_| !again && kill.grace_s > 0);
        self.jobs.spawn(async move {
            let mut grace_s = kill.grace_s;
            let handler = spec.as_ref().and_then(|spec| spec.lifecycle.as_ref()?.pre_stop.as_ref());
            if let (Some(spec), Some(handler)) = (&spec, handler) {
                let started = Instant::now();
                let patience = Duration::from_secs(grace_s.unsigned_abs());
                let hook = hook::run(&host, &kill.id, spec, handler, &ip);
                if let Ok(Err(message)) = tokio::time::timeout(patience, hook).await {
                    tracing::warn!(pod = %pod::full_name(&pod), container = kill.name, %message, "pre-stop hook failed");
                    let about = (role, kill.name.as_str());
                    host.container_event(&pod, about, Warning, "FailedPreStopHook", "PreStopHook failed");
                }
                grace_s -= i64::try_from(started.elapsed().as_secs()).unwrap_or(grace_s);
            }
            let timeout = grace_s.max(MINIMUM_GRACE_S);
            let request = v1::StopContainerRequest { container_id: kill.id.clone(), timeout };
            let result = host.runtime.stop_container(request).await.map(drop);
            Done::Killed { id: kill.id, result: result.or_else(gone_is_stopped) }
        });
    }
}

fn gone_is_stopped(status: cri::Status) -> Result<(), cri::Status> {
    if status.code() == cri::Code::NotFound { Ok(()) } else { Err(status) }
}
