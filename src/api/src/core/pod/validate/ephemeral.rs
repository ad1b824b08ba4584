//! Ephemeral containers (upstream: `validateEphemeralContainers`): like others, but without what a pod relies on.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Container;
use machinery::field::{Error, ErrorList, Path};

use super::super::ephemeral::as_container;
use super::{Scope, containers};
use crate::checks::text;

const UNFIT: &str = "cannot be set for an Ephemeral Container";

pub(super) fn validate(scope: &Scope<'_>, path: &Path) -> ErrorList {
    let others = scope.spec.containers.iter().chain(scope.spec.init_containers.iter().flatten());
    let others: BTreeSet<&str> = others.map(|container| container.name.as_str()).collect();
    let mut all = others.clone();
    let mut errors = ErrorList::new();
    for (index, ephemeral) in scope.spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = path.index(index);
        let container = as_container(ephemeral);
        errors.extend(containers::validate_common(&container, scope, &path));
        errors.extend(containers::validate_image_padding(&container, &path));
        if !all.insert(ephemeral.name.as_str()) {
            errors.push(Error::duplicate(&path.child("name"), ephemeral.name.as_str()));
        }
        let target = text(&ephemeral.target_container_name);
        if !target.is_empty() && !others.contains(target) {
            errors.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        errors.extend(validate_unfit(&container, &path));
        errors.extend(validate_mounts(&container, &path.child("volumeMounts")));
    }
    errors
}

fn validate_unfit(container: &Container, path: &Path) -> ErrorList {
    let resources = container.resources.as_ref();
    let has_resources = resources.is_some_and(|resources| {
        resources.limits.is_some() || resources.requests.is_some() || resources.claims.is_some()
    });
    let unfit = [
        ("ports", container.ports.is_some()),
        ("resources", has_resources),
        ("resizePolicy", container.resize_policy.is_some()),
        ("restartPolicy", container.restart_policy.is_some()),
        ("restartPolicyRules", container.restart_policy_rules.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
    ];
    let unfit = unfit.into_iter().filter(|(_, is_set)| *is_set);
    unfit.map(|(name, _)| Error::forbidden(&path.child(name), UNFIT)).collect()
}

/// Bind mounts of sub-paths would stay until the pod ends.
fn validate_mounts(container: &Container, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        for (name, value) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if !text(value).is_empty() {
                errors.push(Error::forbidden(&path.index(index).child(name), UNFIT));
            }
        }
    }
    errors
}
