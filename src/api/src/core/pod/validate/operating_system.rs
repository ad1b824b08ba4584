//! The operating system that a pod says it is for: one for Linux has nothing of Windows, and the other way round
//! (upstream: `validateOS`, `validateLinux`, `validateWindows`).

use k8s_openapi::api::core::v1::{PodSpec, SecurityContext};
use machinery::field::{Error, ErrorList, Path};

use super::windows;

/// Errors of a spec that names its operating system.
pub(super) fn validate(name: &str, spec: &PodSpec, path: &Path) -> ErrorList {
    match name {
        "" => vec![Error::required(&path.child("os.name"), "")],
        "linux" => validate_linux(spec, path),
        "windows" => validate_windows(spec, path),
        other => vec![Error::not_supported(&path.child("os"), other, &["linux", "windows"])],
    }
}

fn contexts(spec: &PodSpec, path: &Path) -> Vec<(SecurityContext, Path)> {
    let all = windows::contexts(spec, path).into_iter();
    all.filter_map(|(context, path)| Some((context?, path.child("securityContext")))).collect()
}

fn validate_linux(spec: &PodSpec, path: &Path) -> ErrorList {
    let detail = "windows options cannot be set for a linux pod";
    let of_pod = spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some());
    let pod_path = path.child("securityContext.windowsOptions");
    let mut errors = ErrorList::from_iter(of_pod.then(|| Error::forbidden(&pod_path, detail)));
    let of_containers =
        contexts(spec, path).into_iter().filter(|(context, _)| context.windows_options.is_some());
    errors.extend(of_containers.map(|(_, path)| Error::forbidden(&path.child("windowsOptions"), detail)));
    errors
}

fn validate_windows(spec: &PodSpec, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut refuse = |path: &Path, unfit: &[(&str, bool)]| {
        let unfit = unfit.iter().filter(|(_, is_set)| *is_set);
        errors.extend(
            unfit.map(|(name, _)| Error::forbidden(&path.child(name), "cannot be set for a windows pod")),
        );
    };
    let of_context = path.child("securityContext");
    let context = spec.security_context.clone().unwrap_or_default();
    refuse(
        &of_context,
        &[
            ("appArmorProfile", context.app_armor_profile.is_some()),
            ("seLinuxOptions", context.se_linux_options.is_some()),
        ],
    );
    refuse(
        path,
        &[
            ("hostUsers", spec.host_users.is_some()),
            ("hostPID", spec.host_pid == Some(true)),
            ("hostIPC", spec.host_ipc == Some(true)),
        ],
    );
    refuse(
        &of_context,
        &[
            ("seccompProfile", context.seccomp_profile.is_some()),
            ("fsGroup", context.fs_group.is_some()),
            ("fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
            ("sysctls", context.sysctls.as_ref().is_some_and(|sysctls| !sysctls.is_empty())),
        ],
    );
    refuse(path, &[("shareProcessNamespace", spec.share_process_namespace.is_some())]);
    refuse(
        &of_context,
        &[
            ("runAsUser", context.run_as_user.is_some()),
            ("runAsGroup", context.run_as_group.is_some()),
            ("supplementalGroups", context.supplemental_groups.is_some()),
            ("supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
            ("seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
        ],
    );
    for (context, path) in contexts(spec, path) {
        refuse(
            &path,
            &[
                ("appArmorProfile", context.app_armor_profile.is_some()),
                ("seLinuxOptions", context.se_linux_options.is_some()),
                ("seccompProfile", context.seccomp_profile.is_some()),
                ("capabilities", context.capabilities.is_some()),
                ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
                ("privileged", context.privileged.is_some()),
                ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
                ("procMount", context.proc_mount.is_some()),
                ("runAsUser", context.run_as_user.is_some()),
                ("runAsGroup", context.run_as_group.is_some()),
            ],
        );
    }
    errors
}
