//! Defaulting of containers: image pull policy, ports, probes, environment, amounts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use machinery::quantity::Quantity;

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
        [&mut resources.limits, &mut resources.requests].into_iter().flatten().for_each(round_up);
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
    if is_latest(image) { "Always" } else { "IfNotPresent" }
}

/// Whether the tag is `latest`, which it also is where neither tag nor digest is given.
fn is_latest(image: &str) -> bool {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or_default();
    let (repository, tag) = last.split_once(':').map_or((last, None), |(name, tag)| (name, Some(tag)));
    let is_readable = !repository.is_empty() && !repository.bytes().any(|byte| byte.is_ascii_uppercase());
    is_readable && (tag == Some("latest") || (tag.is_none() && digest.is_none()))
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

/// Amounts are kept to a thousandth.
pub(super) fn round_up(amounts: &mut BTreeMap<String, Text>) {
    for text in amounts.values_mut() {
        let Ok(quantity) = Quantity::parse(&text.0) else { continue };
        let milli = quantity.milli_value();
        let rounded = Quantity::from_milli(milli, quantity.format());
        if milli < i64::MAX && rounded > quantity {
            *text = Text(rounded.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_moving_tags_are_pulled_always() {
        for image in ["a", "a:latest", "r:5000/a", "r:5000/b/a:latest", "a:latest@sha256:0"] {
            assert_eq!(pull_policy(image), "Always", "{image}");
        }
        for image in ["", "a:1", "r:5000/a:1", "a@sha256:0", "A"] {
            assert_eq!(pull_policy(image), "IfNotPresent", "{image}");
        }
    }

    #[test]
    fn amounts_below_a_thousandth_are_rounded_up() {
        let mut amounts: BTreeMap<String, Text> = [("a", "1.5m"), ("b", "100m"), ("c", "1Gi"), ("d", "8E")]
            .map(|(k, v)| (k.into(), Text(v.into())))
            .into();
        round_up(&mut amounts);
        let texts: Vec<&str> = amounts.values().map(|text| text.0.as_str()).collect();
        assert_eq!(texts, ["2m", "100m", "1Gi", "8E"]);
    }
}
