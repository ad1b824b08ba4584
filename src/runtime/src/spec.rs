//! From a CRI container request and an image's configuration to an OCI runtime specification. The rules are
//! containerd's (`internal/cri/server/container_create.go`, `internal/cri/opts`). Reads the root file system for user names;
//! changes nothing but adding a missing working directory.

mod capabilities;
mod devices;
mod mounts;
mod process;
mod resources;
mod rootfs;
mod seccomp;
mod user;

use std::path::Path;

use cri::v1;
use serde_json::{Value, json};

pub(crate) use self::mounts::write_sandbox_files;
use crate::cgroups::Cgroups;
use crate::error::{Error, Result};
use crate::images::ImageConfig;

/// Everything that goes into a specification.
pub(crate) struct Input<'a> {
    pub(crate) config: &'a v1::ContainerConfig,
    pub(crate) sandbox: &'a v1::PodSandboxConfig,
    pub(crate) image: &'a ImageConfig,
    /// The mounted root file system.
    pub(crate) rootfs: &'a Path,
    /// The sandbox's directory: `shm`, `hostname`, `resolv.conf`.
    pub(crate) sandbox_dir: &'a Path,
    pub(crate) cgroup_path: &'a str,
    pub(crate) cgroups: &'a Cgroups,
    /// The PID namespace to join, if not a new one.
    pub(crate) pid_namespace: PidNamespace,
}

/// Whose processes a container sees.
pub(crate) enum PidNamespace {
    /// Its own.
    New,
    /// The machine's.
    Host,
    /// That of a process.
    Of(i32),
}

/// A specification, and the user in it.
pub(crate) struct Output {
    pub(crate) spec: Value,
    pub(crate) user: v1::LinuxContainerUser,
}

pub(crate) fn make(input: &Input<'_>) -> Result<Output> {
    let security = security_context(input.config);
    refuse_what_is_not_built(input.config, &security)?;
    let user = user::resolve(&security, &input.image.config.user, input.rootfs)?;
    let process = process::make(input, &security, &user)?;
    let (devices, device_rules) = devices::make(input.config, security.privileged)?;
    let (mounts, propagation) = mounts::make(input, security.privileged)?;
    let masked = |paths: &[String]| if security.privileged { Vec::new() } else { paths.to_vec() };

    let mut linux = json!({
        "namespaces": namespaces(input),
        "cgroupsPath": input.cgroup_path,
        "resources": resources::make(input.config, input.cgroups, device_rules),
        "devices": devices,
        "maskedPaths": masked(&security.masked_paths),
        "readonlyPaths": masked(&security.readonly_paths),
    });
    if let Some(propagation) = propagation {
        linux["rootfsPropagation"] = json!(propagation);
    }
    if let Some(profile) = seccomp::profile(&security)? {
        linux["seccomp"] = profile;
    }
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": input.rootfs, "readonly": security.readonly_rootfs},
        "mounts": mounts,
        "linux": linux,
    });
    Ok(Output { spec, user })
}

/// The container's security context, empty when it has none.
pub(crate) fn security_context(config: &v1::ContainerConfig) -> v1::LinuxContainerSecurityContext {
    config.linux.as_ref().and_then(|linux| linux.security_context.clone()).unwrap_or_default()
}

/// Asking for protection that is not there must not succeed.
fn refuse_what_is_not_built(
    config: &v1::ContainerConfig,
    security: &v1::LinuxContainerSecurityContext,
) -> Result<()> {
    let unsupported =
        |what: &str| Err(Error::Unsupported(format!("{what} is not supported by this runtime")));
    if !config.cdi_devices.is_empty() {
        return unsupported("CDI");
    }
    let unconfined = v1::security_profile::ProfileType::Unconfined as i32;
    if security.apparmor.as_ref().is_some_and(|profile| profile.profile_type != unconfined) {
        return unsupported("AppArmor");
    }
    refuse_labels(security.selinux_options.as_ref())
}

/// Labels mean nothing on a kernel that does not look at them; upstream's runtimes accept them there, too.
pub(crate) fn refuse_labels(wanted: Option<&v1::SeLinuxOption>) -> Result<()> {
    let is_wanted = wanted.is_some_and(|options| *options != v1::SeLinuxOption::default());
    if is_wanted && Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(Error::Unsupported("SELinux is not supported by this runtime".to_owned()));
    }
    Ok(())
}

/// Network, IPC and UTS namespaces are inherited from the sandbox's monitor and not listed.
fn namespaces(input: &Input<'_>) -> Value {
    let mut namespaces = vec![json!({"type": "mount"})];
    match input.pid_namespace {
        PidNamespace::New => namespaces.push(json!({"type": "pid"})),
        PidNamespace::Of(pid) => {
            namespaces.push(json!({"type": "pid", "path": format!("/proc/{pid}/ns/pid")}));
        }
        PidNamespace::Host => {}
    }
    // As containerd: on version 2 a container sees its own group as the root.
    if input.cgroups.is_unified() {
        namespaces.push(json!({"type": "cgroup"}));
    }
    Value::Array(namespaces)
}

#[cfg(test)]
mod tests;
