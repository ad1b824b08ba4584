//! Warnings about what is valid but hardly meant (upstream: `pkg/api/pod/warnings.go`).

mod nodes;
mod overlaps;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Affinity, Container, ContainerPort, PodSpec, Volume};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use machinery::field::Path;
use machinery::quantity::Quantity;

use super::{app_armor, validate};
use crate::checks::{self, text};

const BYTES: &[&str] = &["memory", "ephemeral-storage"];

/// Warnings about a pod (`at` is the root) or about a template (`at` is its path).
pub(super) fn of(metadata: &ObjectMeta, spec: &PodSpec, at: &Path) -> Vec<String> {
    let path = at.child("spec");
    let mut warnings = nodes::of(spec, &path);
    warnings.extend(annotations(metadata, &at.child("metadata.annotations")));
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        warnings.extend(volume_warnings(volume, &path.child("volumes").index(index)));
    }
    warnings.extend(overlaps::of(spec.volumes.as_deref().unwrap_or_default()));
    warnings.extend(lists(spec, &path));
    warnings.extend(seccomp_of_pod(metadata, spec, at));
    let containers = validate::containers_with_paths(spec, &path);
    for (container, path) in &containers {
        warnings.extend(profiles(container, metadata, spec, at));
        warnings.extend(container_warnings(container, path));
    }
    warnings.extend(port_warnings(&containers));
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        let path = path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    warnings.extend(spec.affinity.iter().flat_map(|affinity| terms(affinity, &path.child("affinity"))));
    warnings.extend(addresses(spec, &path));
    warnings
}

/// A seccomp profile given by annotation only.
fn seccomp(key: &str, metadata: &ObjectMeta, at: &Path) -> Option<String> {
    let is_given = metadata.annotations.as_ref().is_some_and(|given| given.contains_key(key));
    let path = at.child("metadata.annotations").key(key);
    is_given.then(|| format!("{path}: non-functional in v1.27+; use the \"seccompProfile\" field instead"))
}

fn seccomp_of_pod(metadata: &ObjectMeta, spec: &PodSpec, at: &Path) -> Option<String> {
    let context = spec.security_context.as_ref();
    let has_field = context.is_some_and(|context| context.seccomp_profile.is_some());
    seccomp("seccomp.security.alpha.kubernetes.io/pod", metadata, at).filter(|_| !has_field)
}

/// Profiles of a container given by annotation only. A pod's own AppArmor annotations have been taken over by then.
fn profiles(container: &Container, metadata: &ObjectMeta, spec: &PodSpec, at: &Path) -> Vec<String> {
    let context = container.security_context.as_ref();
    let mut warnings = vec![];
    if context.is_none_or(|context| context.seccomp_profile.is_none()) {
        let key = format!("container.seccomp.security.alpha.kubernetes.io/{}", container.name);
        warnings.extend(seccomp(&key, metadata, at));
    }
    let is_template = *at != Path::root();
    let key = format!("{}{}", app_armor::PREFIX, container.name);
    let given = metadata.annotations.as_ref().and_then(|given| given.get(&key));
    let Some(annotation) = given.filter(|_| is_template) else { return warnings };
    let of_pod = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    let says_the_same = of_pod.is_some() && of_pod == app_armor::profile_of(annotation).as_ref();
    if context.is_none_or(|context| context.app_armor_profile.is_none()) && !says_the_same {
        warnings.push(app_armor::deprecation(&at.child("metadata.annotations").key(&key)));
    }
    warnings
}

/// Terms of affinity that match no pod.
fn terms(affinity: &Affinity, path: &Path) -> Vec<String> {
    let with = affinity.pod_affinity.as_ref().map(|with| {
        (
            "podAffinity",
            &with.required_during_scheduling_ignored_during_execution,
            &with.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let against = affinity.pod_anti_affinity.as_ref().map(|against| {
        (
            "podAntiAffinity",
            &against.required_during_scheduling_ignored_during_execution,
            &against.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let mut warnings = vec![];
    let mut warn =
        |path: Path| warnings.push(format!("{path}: a null labelSelector results in matching no pod"));
    for (name, required, preferred) in with.into_iter().chain(against) {
        let path = path.child(name);
        let list = path.child("requiredDuringSchedulingIgnoredDuringExecution");
        for (index, term) in required.iter().flatten().enumerate() {
            if term.label_selector.is_none() {
                warn(list.index(index).child("labelSelector"));
            }
        }
        let list = path.child("preferredDuringSchedulingIgnoredDuringExecution");
        for (index, weighted) in preferred.iter().flatten().enumerate() {
            if weighted.pod_affinity_term.label_selector.is_none() {
                warn(list.index(index).child("podAffinityTerm.labelSelector"));
            }
        }
    }
    warnings
}

/// Annotations that have become fields, by the whole key.
const DEPRECATED: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

fn annotations(metadata: &ObjectMeta, path: &Path) -> Vec<String> {
    let Some(given) = &metadata.annotations else { return vec![] };
    let deprecated = DEPRECATED.iter().filter(|(key, _)| given.contains_key(*key));
    deprecated.map(|(key, message)| format!("{}: {message}", path.key(key))).collect()
}

fn volume_warnings(volume: &Volume, path: &Path) -> Vec<String> {
    let gone = [
        (
            volume.photon_persistent_disk.is_some(),
            "photonPersistentDisk",
            "deprecated in v1.11, non-functional in v1.16+",
        ),
        (volume.git_repo.is_some(), "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        (volume.scale_io.is_some(), "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        (volume.flocker.is_some(), "flocker", "deprecated in v1.22, non-functional in v1.25+"),
        (volume.storageos.is_some(), "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
        (volume.quobyte.is_some(), "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        (volume.glusterfs.is_some(), "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        (volume.cephfs.is_some(), "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        (volume.rbd.is_some(), "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ];
    let gone = gone.into_iter().filter(|(is_used, _, _)| *is_used);
    let mut warnings: Vec<String> =
        gone.map(|(_, name, message)| format!("{}: {message}", path.child(name))).collect();
    let claim = volume.ephemeral.as_ref().and_then(|source| source.volume_claim_template.as_ref());
    if let Some(resources) = claim.and_then(|claim| claim.spec.resources.as_ref()) {
        let path = path.child("ephemeral.volumeClaimTemplate.spec.resources");
        for (list, name) in [(&resources.requests, "requests"), (&resources.limits, "limits")] {
            warnings.extend(list.iter().flat_map(|list| fractional(list, &["storage"], &path.child(name))));
        }
    }
    warnings
}

/// Lists whose items should differ.
fn lists(spec: &PodSpec, path: &Path) -> Vec<String> {
    let mut warnings = vec![];
    let mut seen = BTreeSet::new();
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        if !seen.insert(alias.ip.as_str()) {
            let path = path.child("hostAliases").index(index).child("ip");
            warnings.push(format!("{path}: duplicate ip {:?}", alias.ip));
        }
    }
    let mut seen = BTreeSet::new();
    let secrets = || spec.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str()).enumerate();
    let path_of = |index| path.child("imagePullSecrets").index(index).child("name");
    let repeated = secrets().filter(|(_, name)| !seen.insert(*name));
    warnings.extend(repeated.map(|(index, name)| format!("{}: duplicate name {name:?}", path_of(index))));
    let unnamed = secrets().filter(|(_, name)| name.is_empty());
    warnings.extend(unnamed.map(|(index, _)| format!("{}: invalid empty name \"\"", path_of(index))));
    let overhead = spec.overhead.iter();
    warnings.extend(overhead.flat_map(|overhead| fractional(overhead, BYTES, &path.child("overhead"))));
    warnings
}

/// Fractions of the resources that are counted in bytes.
fn fractional(amounts: &BTreeMap<String, Text>, bytes: &[&str], path: &Path) -> Vec<String> {
    let bytes = bytes.iter().copied();
    let parsed = bytes.filter_map(|name| Some((name, Quantity::parse(&amounts.get(name)?.0).ok()?)));
    let fractions = parsed.filter(|(_, amount)| amount.wrapping_milli_value() % 1000 != 0);
    fractions
        .map(|(name, amount)| {
            format!("{}: fractional byte value \"{amount}\" is invalid, must be an integer", path.key(name))
        })
        .collect()
}

fn container_warnings(container: &Container, path: &Path) -> Vec<String> {
    let mut warnings = vec![];
    if let Some(resources) = &container.resources {
        for bytes in BYTES.chunks(1) {
            for (list, name) in [(&resources.limits, "limits"), (&resources.requests, "requests")] {
                let path = path.child("resources").child(name);
                warnings.extend(list.iter().flat_map(|list| fractional(list, bytes, &path)));
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (index, variable) in container.env.iter().flatten().enumerate() {
        if seen.insert(variable.name.as_str()) {
            continue;
        }
        let reference = format!("$({})", variable.name);
        let value = text(&variable.value);
        let extends = variable.value_from.is_none() && value != reference && value.contains(&reference);
        if !extends {
            let path = path.child("env").index(index);
            let name = &variable.name;
            warnings.push(format!(
                "{path}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
    warnings
}

fn port_warnings(containers: &[(Container, Path)]) -> Vec<String> {
    let mut ports: Vec<(&ContainerPort, Path)> = vec![];
    let mut warnings = vec![];
    let mut repeated = vec![];
    for (container, path) in containers {
        for (index, port) in container.ports.iter().flatten().enumerate() {
            let path = path.child("ports").index(index);
            warnings.extend(host_ip_alone(port, &path));
            warnings.extend(ports.iter().filter_map(|(other, at)| collision(port, other, &path, at)));
            let name = text(&port.name);
            let first = ports.iter().find(|(other, _)| !name.is_empty() && text(&other.name) == name);
            repeated.extend(first.map(|(_, first)| {
                format!("{path}: duplicate port name {name:?} with {first}, services and probes that select ports by name will use {first}")
            }));
            ports.push((port, path));
        }
    }
    warnings.extend(repeated);
    warnings
}

/// Upstream shows the port as Go does.
fn host_ip_alone(port: &ContainerPort, path: &Path) -> Option<String> {
    let ip = text(&port.host_ip);
    let is_alone = !ip.is_empty() && port.host_port.unwrap_or(0) == 0;
    let (name, protocol, number) = (text(&port.name), text(&port.protocol), port.container_port);
    is_alone.then(|| {
        format!(
            "{path}: hostIP set without hostPort: {{Name:{name} HostPort:0 ContainerPort:{number} Protocol:{protocol} HostIP:{ip}}}"
        )
    })
}

fn collision(port: &ContainerPort, other: &ContainerPort, path: &Path, at: &Path) -> Option<String> {
    if port.container_port != other.container_port || text(&port.protocol) != text(&other.protocol) {
        return None;
    }
    let (host_port, other_host_port) = (port.host_port.unwrap_or(0), other.host_port.unwrap_or(0));
    let (host_ip, other_host_ip) = (text(&port.host_ip), text(&other.host_ip));
    let how = if host_ip == other_host_ip && host_port == other_host_port {
        "duplicate"
    } else if host_port == 0 || other_host_port == 0 {
        "overlapping"
    } else if host_port == other_host_port && host_ip.is_empty() != other_host_ip.is_empty() {
        "dangerously ambiguous"
    } else {
        return None;
    };
    Some(format!("{path}: {how} port definition with {at}"))
}

fn addresses(spec: &PodSpec, path: &Path) -> Vec<String> {
    let servers = spec.dns_config.iter().flat_map(|config| config.nameservers.iter().flatten()).enumerate();
    let servers = servers.map(|(index, ip)| (ip, path.child("dnsConfig.nameservers").index(index)));
    let aliases = spec.host_aliases.iter().flatten().enumerate();
    let aliases =
        aliases.map(|(index, alias)| (&alias.ip, path.child("hostAliases").index(index).child("ip")));
    servers.chain(aliases).flat_map(|(ip, path)| checks::ip_warnings(ip, &path)).collect()
}
