//! Init containers: one after the other, sidecars staying behind.

use super::{Input, Plan, check_running, start};
use crate::{
    observed::State,
    pod::{self, Role},
    probes::Outcome,
};

/// How far initialisation is.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    Running,
    /// An init container failed for good.
    Failed,
    Done,
}

/// Plans the next init container, or keeps the sidecars running once all have been through.
pub(super) fn progress(input: &Input<'_>, plan: &mut Plan, sandbox: &str) -> Progress {
    let spec = pod::spec(input.pod);
    // A regular container in this sandbox proves that initialisation is over, even where its traces are gone.
    let regular_seen = spec.containers.iter().any(|container| {
        input.observed.container(&container.name).is_some_and(|seen| seen.sandbox_id == sandbox)
    });
    for container in pod::init_containers(spec) {
        let seen = input.observed.container(&container.name).filter(|seen| seen.sandbox_id == sandbox);
        let is_sidecar = pod::is_sidecar(container);
        if regular_seen && !is_sidecar {
            continue;
        }
        let role = if is_sidecar { Role::Sidecar } else { Role::Init };
        match seen.map(|seen| (seen, seen.state)) {
            Some((seen, State::Running)) if is_sidecar => {
                check_running(input, plan, container, seen);
                if !regular_seen && !has_started(input, container, &seen.id) {
                    return Progress::Running;
                }
            }
            Some((_, State::Running | State::Unknown)) => return Progress::Running,
            Some((seen, State::Exited)) if !is_sidecar => {
                if seen.exit_code == 0 {
                    continue;
                }
                if !pod::restarts_after(container, spec, seen.exit_code) {
                    return Progress::Failed;
                }
                start(input, plan, &container.name, role, Some(seen));
                return Progress::Running;
            }
            _ => {
                let last = input.observed.container(&container.name);
                start(input, plan, &container.name, role, last);
                if !regular_seen {
                    return Progress::Running;
                }
            }
        }
    }
    Progress::Done
}

/// Whether a sidecar is far enough for the next container: its hook and its startup probe are through.
fn has_started(input: &Input<'_>, container: &k8s_openapi::api::core::v1::Container, id: &str) -> bool {
    let probed = input.memory.probes.get(id).and_then(|results| results.startup);
    !input.memory.hooks.contains(id)
        && (container.startup_probe.is_none() || probed == Some(Outcome::Success))
}
