//! Security contexts: what pod and container say together, in the runtime's terms.

use std::path::Path;

use cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, NamespaceMode, NamespaceOption, SeLinuxOption,
    SecurityProfile, SupplementalGroupsPolicy, security_profile::ProfileType,
};
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SeccompProfile, SecurityContext};

use crate::pod;

/// The user that an image runs as when nothing else says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageUser {
    pub uid: Option<i64>,
    pub name: String,
}

const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The namespaces a pod shares, and with whom.
pub(crate) fn namespaces(pod: &Pod) -> NamespaceOption {
    let spec = pod::spec(pod);
    let node_or = |on_node: Option<bool>, otherwise| {
        if on_node == Some(true) { NamespaceMode::Node } else { otherwise }
    };
    let pid = match spec.share_process_namespace {
        Some(true) => NamespaceMode::Pod,
        _ => NamespaceMode::Container,
    };
    NamespaceOption {
        network: node_or(spec.host_network, NamespaceMode::Pod).into(),
        pid: node_or(spec.host_pid, pid).into(),
        ipc: node_or(spec.host_ipc, NamespaceMode::Pod).into(),
        ..NamespaceOption::default()
    }
}

/// The security context of one container.
pub(crate) fn context(
    pod: &Pod,
    container: &Container,
    image_user: &ImageUser,
    seccomp_dir: &Path,
) -> LinuxContainerSecurityContext {
    let of_pod = pod::spec(pod).security_context.clone().unwrap_or_default();
    let own = effective(pod, container);
    let privileged = own.privileged == Some(true);
    let run_as_user = own.run_as_user.or(image_user.uid);
    let (masked_paths, readonly_paths) = match own.proc_mount.as_deref() {
        Some("Unmasked") => (Vec::new(), Vec::new()),
        _ => (MASKED_PATHS.map(str::to_owned).to_vec(), READONLY_PATHS.map(str::to_owned).to_vec()),
    };
    LinuxContainerSecurityContext {
        capabilities: own.capabilities.map(|wanted| Capability {
            add_capabilities: wanted.add.unwrap_or_default(),
            drop_capabilities: wanted.drop.unwrap_or_default(),
            ..Capability::default()
        }),
        privileged,
        namespace_options: Some(namespaces(pod)),
        selinux_options: own.se_linux_options.map(selinux),
        run_as_user: run_as_user.map(|value| Int64Value { value }),
        run_as_group: own.run_as_group.map(|value| Int64Value { value }),
        run_as_username: if run_as_user.is_none() { image_user.name.clone() } else { String::new() },
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: supplemental_groups(pod),
        supplemental_groups_policy: match of_pod.supplemental_groups_policy.as_deref() {
            Some("Strict") => SupplementalGroupsPolicy::Strict.into(),
            _ => SupplementalGroupsPolicy::Merge.into(),
        },
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths,
        readonly_paths,
        seccomp: Some(seccomp(own.seccomp_profile.as_ref(), privileged, seccomp_dir)),
        apparmor: own.app_armor_profile.as_ref().map(apparmor),
        ..LinuxContainerSecurityContext::default()
    }
}

/// The groups that every process of a pod is in.
pub(crate) fn supplemental_groups(pod: &Pod) -> Vec<i64> {
    let Some(context) = &pod::spec(pod).security_context else { return Vec::new() };
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

/// The container's own settings over those of the pod.
fn effective(pod: &Pod, container: &Container) -> SecurityContext {
    let of_pod = pod::spec(pod).security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    SecurityContext {
        run_as_user: own.run_as_user.or(of_pod.run_as_user),
        run_as_group: own.run_as_group.or(of_pod.run_as_group),
        run_as_non_root: own.run_as_non_root.or(of_pod.run_as_non_root),
        se_linux_options: own.se_linux_options.or(of_pod.se_linux_options),
        seccomp_profile: own.seccomp_profile.or(of_pod.seccomp_profile),
        app_armor_profile: own.app_armor_profile.or(of_pod.app_armor_profile),
        ..own
    }
}

pub(crate) fn selinux(options: k8s_openapi::api::core::v1::SELinuxOptions) -> SeLinuxOption {
    SeLinuxOption {
        user: options.user.unwrap_or_default(),
        role: options.role.unwrap_or_default(),
        r#type: options.type_.unwrap_or_default(),
        level: options.level.unwrap_or_default(),
    }
}

fn seccomp(profile: Option<&SeccompProfile>, privileged: bool, dir: &Path) -> SecurityProfile {
    let (profile_type, localhost_ref) = match profile.map(|profile| profile.type_.as_str()) {
        _ if privileged => (ProfileType::Unconfined, String::new()),
        Some("RuntimeDefault") => (ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") => {
            let file = profile.and_then(|profile| profile.localhost_profile.clone()).unwrap_or_default();
            (ProfileType::Localhost, dir.join(file).display().to_string())
        }
        _ => (ProfileType::Unconfined, String::new()),
    };
    SecurityProfile { profile_type: profile_type.into(), localhost_ref }
}

fn apparmor(profile: &AppArmorProfile) -> SecurityProfile {
    let (profile_type, localhost_ref) = match profile.type_.as_str() {
        "Localhost" => (ProfileType::Localhost, profile.localhost_profile.clone().unwrap_or_default()),
        "RuntimeDefault" => (ProfileType::RuntimeDefault, String::new()),
        _ => (ProfileType::Unconfined, String::new()),
    };
    SecurityProfile { profile_type: profile_type.into(), localhost_ref }
}

/// Whether any container is to be confined by AppArmor.
pub(crate) fn wants_apparmor(pod: &Pod) -> bool {
    let profile = |container: &Container| effective(pod, container).app_armor_profile;
    pod::containers(pod::spec(pod))
        .filter_map(|(_, container)| profile(container))
        .any(|profile| profile.type_ != "Unconfined")
}

/// Refuses a container that would run as root though it must not.
pub(crate) fn verify_non_root(pod: &Pod, container: &Container, image: &ImageUser) -> Result<(), String> {
    let own = effective(pod, container);
    if own.run_as_non_root != Some(true) {
        return Ok(());
    }
    let whose = format!("(pod: {:?}, container: {})", pod::full_name(pod), container.name);
    match (own.run_as_user, image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy {whose}")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(format!("container has runAsNonRoot and image will run as root {whose}")),
        (None, None) if !image.name.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {whose}",
            image.name
        )),
        (None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(pod: Value, container: Value, image: ImageUser, expected: Result<(), &str>) {
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u"});
        let containers = json!([{"name": "c", "securityContext": container}]);
        let spec = json!({"containers": containers, "securityContext": pod});
        let pod: Pod = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap();
        let actual = verify_non_root(&pod, &pod::spec(&pod).containers[0], &image);
        assert_eq!(actual, expected.map_err(str::to_owned));
    }

    #[test]
    fn root_is_refused_where_non_root_is_asked_for() {
        let root = || ImageUser { uid: Some(0), name: String::new() };
        let named = || ImageUser { uid: None, name: "app".into() };
        check(json!({}), json!({}), root(), Ok(()));
        check(
            json!({"runAsNonRoot": true}),
            json!({}),
            root(),
            Err("container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)"),
        );
        check(json!({"runAsNonRoot": true, "runAsUser": 1}), json!({}), root(), Ok(()));
        check(
            json!({}),
            json!({"runAsNonRoot": true, "runAsUser": 0}),
            named(),
            Err("container's runAsUser breaks non-root policy (pod: \"p_n(u)\", container: c)"),
        );
        check(
            json!({"runAsNonRoot": true}),
            json!({}),
            named(),
            Err(
                "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: \"p_n(u)\", container: c)",
            ),
        );
    }
}
