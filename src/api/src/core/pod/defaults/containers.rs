//! Defaulting of containers: image pull policy, ports, probes, environment, amounts.

use k8s_openapi::api::core::v1::{Container, EnvVarSource, HTTPGetAction, Probe};

use super::image;
use crate::core::resources;
use crate::defaults;

pub(super) fn set_defaults(container: &mut Container) {
    let policy = pull_policy(container.image.as_deref().unwrap_or_default());
    defaults::string(&mut container.image_pull_policy, policy);
    defaults::string(&mut container.termination_message_path, "/dev/termination-log");
    defaults::string(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        defaults::string(&mut port.protocol, "TCP");
    }
    for source in container.env.iter_mut().flatten().filter_map(|env| env.value_from.as_mut()) {
        set_env_defaults(source);
    }
    if let Some(resources) = &mut container.resources {
        [&mut resources.limits, &mut resources.requests].into_iter().flatten().for_each(resources::round_up);
    }
    let probes =
        [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(set_probe_defaults);
    if let Some(lifecycle) = &mut container.lifecycle {
        let handlers = [&mut lifecycle.post_start, &mut lifecycle.pre_stop];
        let gets = handlers.into_iter().flatten().filter_map(|handler| handler.http_get.as_mut());
        gets.for_each(set_get_defaults);
    }
}

/// An image that can move is pulled every time.
pub(super) fn pull_policy(image: &str) -> &'static str {
    if image::is_latest(image) { "Always" } else { "IfNotPresent" }
}

fn set_env_defaults(source: &mut EnvVarSource) {
    if let Some(field) = &mut source.field_ref {
        defaults::string(&mut field.api_version, "v1");
    }
    if let Some(file) = &mut source.file_key_ref {
        file.optional.get_or_insert(false);
    }
}

fn set_probe_defaults(probe: &mut Probe) {
    defaults::nonzero(&mut probe.timeout_seconds, 1);
    defaults::nonzero(&mut probe.period_seconds, 10);
    defaults::nonzero(&mut probe.success_threshold, 1);
    defaults::nonzero(&mut probe.failure_threshold, 3);
    probe.http_get.iter_mut().for_each(set_get_defaults);
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn set_get_defaults(get: &mut HTTPGetAction) {
    defaults::string(&mut get.path, "/");
    defaults::string(&mut get.scheme, "HTTP");
}
