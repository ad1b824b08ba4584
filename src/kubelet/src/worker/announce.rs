//! Events about containers that have begun to wait, from one plan to the next.

use client::EventType::{Normal, Warning};

use super::Worker;
use crate::{
    observed::Observed,
    plan::Plan,
    pod::{self, Role},
};

impl Worker {
    /// Records events about containers that have begun to wait.
    pub(super) fn announce(&mut self, plan: &Plan, observed: &Observed) {
        for (name, waiting) in &plan.waiting {
            if self.waiting.waiting.get(name).is_some_and(|before| before.reason == waiting.reason) {
                continue;
            }
            let found = pod::container(pod::spec(&self.pod), name);
            let role = found.as_ref().map_or(Role::Regular, |(role, _)| *role);
            let (about, host) = ((role, name.as_str()), &self.host);
            match waiting.reason.as_str() {
                "CrashLoopBackOff" if observed.container(name).is_some() => {
                    let full_name = pod::full_name(&self.pod);
                    let message = format!("Back-off restarting failed container {name} in pod {full_name}");
                    host.container_event(&self.pod, about, Warning, "BackOff", message);
                }
                "ImagePullBackOff" => {
                    let image = found.and_then(|(_, spec)| spec.image).unwrap_or_default();
                    host.container_event(
                        &self.pod,
                        about,
                        Normal,
                        "BackOff",
                        format!("Back-off pulling image {image:?}"),
                    );
                    host.container_event(&self.pod, about, Warning, "Failed", "Error: ImagePullBackOff");
                }
                _ => {}
            }
        }
        self.waiting.waiting.clone_from(&plan.waiting);
    }
}
