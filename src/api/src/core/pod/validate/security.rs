//! Security contexts of pods and containers (upstream: `validatePodSpecSecurityContext`,
//! `ValidateSecurityContext`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, Sysctl,
    WindowsSecurityContextOptions,
};
use machinery::field::{Error, ErrorList, Path};

use super::{Allowed, windows};
use crate::checks::{self, text};

const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const SYSCTL: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

pub(super) fn validate_pod(spec: &PodSpec, allowed: &Allowed, path: &Path) -> ErrorList {
    let Some(context) = &spec.security_context else { return vec![] };
    let mut errors = validate_ids(context, path);
    if spec.host_pid == Some(true) && spec.share_process_namespace == Some(true) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    let sysctls = context.sysctls.as_deref().unwrap_or_default();
    errors.extend(validate_sysctls(sysctls, spec, allowed, &path.child("sysctls")));
    let policy = context.fs_group_change_policy.as_deref();
    errors.extend(choice(policy, &["Always", "OnRootMismatch"], &path.child("fsGroupChangePolicy")));
    errors.extend(seccomp(context.seccomp_profile.as_ref(), path));
    errors.extend(windows_options(context.windows_options.as_ref(), path));
    errors.extend(app_armor(context.app_armor_profile.as_ref(), path));
    let policy = context.supplemental_groups_policy.as_deref();
    errors.extend(choice(policy, &["Merge", "Strict"], &path.child("supplementalGroupsPolicy")));
    let policy = context.se_linux_change_policy.as_deref();
    errors.extend(choice(policy, se_linux_policies(allowed), &path.child("seLinuxChangePolicy")));
    errors
}

fn choice(value: Option<&str>, supported: &[&str], path: &Path) -> ErrorList {
    value.map(|value| checks::supported_only(value, supported, path)).unwrap_or_default()
}

fn seccomp(profile: Option<&SeccompProfile>, path: &Path) -> ErrorList {
    profile.map(|profile| validate_seccomp(profile, &path.child("seccompProfile"))).unwrap_or_default()
}

fn app_armor(profile: Option<&AppArmorProfile>, path: &Path) -> ErrorList {
    profile.map(|profile| validate_app_armor(profile, &path.child("appArmorProfile"))).unwrap_or_default()
}

fn windows_options(options: Option<&WindowsSecurityContextOptions>, path: &Path) -> ErrorList {
    let path = path.child("windowsOptions");
    options.map(|options| windows::validate_options(options, &path)).unwrap_or_default()
}

fn validate_ids(context: &PodSecurityContext, path: &Path) -> ErrorList {
    let ids = [
        (context.fs_group, "fsGroup"),
        (context.run_as_user, "runAsUser"),
        (context.run_as_group, "runAsGroup"),
    ];
    let mut errors = ErrorList::new();
    for (id, name) in ids {
        errors.extend(id.into_iter().flat_map(|id| checks::id(id, &path.child(name))));
    }
    for (index, id) in context.supplemental_groups.iter().flatten().enumerate() {
        errors.extend(checks::id(*id, &path.child("supplementalGroups").index(index)));
    }
    errors
}

/// Mounting with a label is off by default; a pod that asks for it, or anything, may go on doing so.
fn se_linux_policies(allowed: &Allowed) -> &'static [&'static str] {
    if allowed.any_se_linux_policy { &["MountOption", "Recursive"] } else { &["Recursive"] }
}

/// Names are given with dots or slashes; what is not the pod's own namespace is the host's.
fn validate_sysctls(sysctls: &[Sysctl], spec: &PodSpec, allowed: &Allowed, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = BTreeSet::new();
    for (index, sysctl) in sysctls.iter().enumerate() {
        let path = path.index(index).child("name");
        let name = sysctl.name.as_str();
        if name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if !is_sysctl(name) {
            let detail = format!("must have at most 253 characters and match regex {SYSCTL}");
            errors.push(Error::invalid(&path, name, detail));
        } else if !seen.insert(name) {
            errors.push(Error::duplicate(&path, name));
        }
        let of_host = of_host(name, spec).filter(|_| !allowed.host_sysctls);
        let detail = |namespace| format!("may not be specified when '{namespace}' is true");
        errors.extend(of_host.map(|namespace| Error::invalid(&path, name, detail(namespace))));
    }
    errors
}

/// The host's namespace that a sysctl belongs to, if the pod is in it.
fn of_host(name: &str, spec: &PodSpec) -> Option<&'static str> {
    let name = name.replace('/', ".");
    if spec.host_network == Some(true) && name.starts_with("net.") {
        return Some("hostNetwork");
    }
    (spec.host_ipc == Some(true) && is_ipc(&name)).then_some("hostIPC")
}

/// Whether the pod sets what is the host's, as older servers took it.
pub(super) fn has_host_sysctls(spec: &PodSpec) -> bool {
    let sysctls = spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
    sysctls.into_iter().any(|sysctl| of_host(&sysctl.name, spec).is_some())
}

fn is_sysctl(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_segment = |segment: &str| {
        let bytes = segment.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if is_inner(first) && is_inner(last))
            && bytes.iter().all(|&byte| is_inner(byte) || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(is_segment)
}

fn is_ipc(name: &str) -> bool {
    let exact = &["kernel.sem"];
    let prefixes = &["kernel.shm", "kernel.msg", "fs.mqueue."];
    exact.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

pub(super) fn validate_container(context: &SecurityContext, host_users: bool, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (id, name) in [(context.run_as_user, "runAsUser"), (context.run_as_group, "runAsGroup")] {
        errors.extend(id.into_iter().flat_map(|id| checks::id(id, &path.child(name))));
    }
    if let Some(mount) = &context.proc_mount {
        let path = path.child("procMount");
        errors.extend(checks::supported_only(mount, &["Default", "Unmasked"], &path));
        if host_users && mount == "Unmasked" {
            let detail = "`hostUsers` must be false to use `Unmasked`";
            errors.push(Error::invalid(&path, mount.as_str(), detail));
        }
    }
    errors.extend(seccomp(context.seccomp_profile.as_ref(), path));
    errors.extend(validate_escalation(context, path));
    errors.extend(windows_options(context.windows_options.as_ref(), path));
    errors.extend(app_armor(context.app_armor_profile.as_ref(), path));
    errors
}

/// What makes escalation possible anyway contradicts its being forbidden.
fn validate_escalation(context: &SecurityContext, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if context.allow_privilege_escalation != Some(false) {
        return errors;
    }
    let shown = || checks::internal("io.k8s.api.core.v1.SecurityContext", context);
    if context.privileged == Some(true) {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(Error::invalid(path, shown(), detail));
    }
    let added = context.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
    for _ in added.filter(|capability| *capability == "CAP_SYS_ADMIN") {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(Error::invalid(path, shown(), detail));
    }
    errors
}

fn validate_profile_type(type_: &str, field: &str, path: &Path) -> ErrorList {
    let path = path.child("type");
    if type_.is_empty() {
        return vec![Error::required(&path, format!("type is required when {field} is set"))];
    }
    checks::supported_only(type_, PROFILES, &path)
}

fn validate_seccomp(profile: &SeccompProfile, path: &Path) -> ErrorList {
    let mut errors = validate_profile_type(&profile.type_, "seccompProfile", path);
    let file = path.child("localhostProfile");
    match (profile.type_.as_str(), &profile.localhost_profile) {
        ("Localhost", None) => {
            errors.push(Error::required(&file, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", Some(name)) => errors.extend(checks::descending_path(name, &file)),
        (_, Some(_)) => {
            let shown = checks::internal("io.k8s.api.core.v1.SeccompProfile", profile);
            errors.push(Error::invalid(&file, shown, "can only be set when seccomp type is Localhost"));
        }
        (_, None) => {}
    }
    errors
}

pub(in super::super) fn validate_app_armor(profile: &AppArmorProfile, path: &Path) -> ErrorList {
    let mut errors = validate_profile_type(&profile.type_, "appArmorProfile", path);
    let file = path.child("localhostProfile");
    let name = text(&profile.localhost_profile);
    match (profile.type_.as_str(), &profile.localhost_profile) {
        ("Localhost", Some(_)) if name != name.trim() => {
            errors.push(Error::invalid(&file, name, "must not be padded with whitespace"));
        }
        ("Localhost", _) if name.is_empty() => {
            errors.push(Error::required(&file, "must be set when AppArmor type is Localhost"));
        }
        ("Localhost", _) if name.len() > 4095 => errors.push(Error::too_long(&file, 4095)),
        ("RuntimeDefault" | "Unconfined", Some(_)) => {
            errors.push(Error::invalid(&file, name, "can only be set when AppArmor type is Localhost"));
        }
        _ => {}
    }
    errors
}
