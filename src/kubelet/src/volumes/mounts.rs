//! The mounts of one container: its volume mounts, `/etc/hosts` and the termination message file.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use cri::v1::{Mount, MountPropagation};
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::{Error, blocking, source_path, subpath};
use crate::{
    pod,
    spec::{expansion::expand_noting, hosts, sandbox::hostname_and_domain},
};

const HOSTS: &str = "/etc/hosts";

/// What the mounts of a container are made from.
pub(crate) struct Input<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub pod_dir: &'a Path,
    pub pod_ips: &'a [String],
    pub cluster_domain: &'a str,
    /// The container's variables, for `subPathExpr`.
    pub env: &'a std::collections::BTreeMap<String, String>,
    pub restart_count: u32,
}

/// Prepares the files that are mounted and lists the mounts.
pub(crate) async fn list(input: &Input<'_>) -> Result<Vec<Mount>, Error> {
    let mut out = Vec::new();
    for (index, mount) in input.container.volume_mounts.iter().flatten().enumerate() {
        out.push(volume_mount(input, index, mount).await?);
    }
    let mounts_over = |path: &str| out.iter().any(|mount| mount.container_path == path);
    if !mounts_over(HOSTS) && (!input.pod_ips.is_empty() || pod::is_host_network(pod::spec(input.pod))) {
        out.push(bind(HOSTS.into(), hosts_file(input).await?));
    }
    let message = input.container.termination_message_path.clone().unwrap_or_default();
    if !message.is_empty() {
        let file = message_file(input).await?;
        out.push(bind(absolute(&message), file));
    }
    Ok(out)
}

fn bind(container_path: String, host_path: PathBuf) -> Mount {
    Mount {
        container_path,
        host_path: host_path.display().to_string(),
        selinux_relabel: true,
        ..Mount::default()
    }
}

async fn volume_mount(input: &Input<'_>, index: usize, mount: &VolumeMount) -> Result<Mount, Error> {
    let volumes = pod::spec(input.pod).volumes.as_deref().unwrap_or_default();
    let volume = volumes.iter().find(|volume| volume.name == mount.name).ok_or_else(|| {
        Error::Source(format!(
            "cannot find volume {:?} to mount into container {:?}",
            mount.name, input.container.name
        ))
    })?;
    let (mut source, only_read) = source_path(input.pod_dir, volume)?;
    let sub = sub_path(input, mount)?;
    if !sub.is_empty() {
        let place = input.pod_dir.join("volume-subpaths").join(&mount.name).join(&input.container.name);
        let target = place.join(format!("{index}-{}", input.restart_count));
        subpath::bind(&source, &sub, &target).await?;
        source = target;
    }
    Ok(Mount {
        container_path: absolute(&mount.mount_path),
        host_path: source.display().to_string(),
        readonly: only_read || mount.read_only == Some(true),
        recursive_read_only: is_recursively_read_only(mount),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => MountPropagation::PropagationHostToContainer,
            Some("Bidirectional") => MountPropagation::PropagationBidirectional,
            _ => MountPropagation::PropagationPrivate,
        }
        .into(),
        ..Mount::default()
    })
}

/// Whether what is mounted below is to be read only, too. Runtimes can since containerd 2.0.
pub(crate) fn is_recursively_read_only(mount: &VolumeMount) -> bool {
    let wanted = matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
    wanted && mount.read_only == Some(true)
}

fn sub_path(input: &Input<'_>, mount: &VolumeMount) -> Result<String, Error> {
    let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
    if expression.is_empty() {
        return Ok(mount.sub_path.clone().unwrap_or_default());
    }
    match expand_noting(expression, |name| input.env.get(name).cloned()) {
        (path, None) => Ok(path),
        (_, Some(missing)) => {
            Err(Error::Source(format!("missing value for {missing:?} in subPathExpr {expression:?}")))
        }
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

async fn hosts_file(input: &Input<'_>) -> Result<PathBuf, Error> {
    let spec = pod::spec(input.pod);
    let aliases = spec.host_aliases.clone().unwrap_or_default();
    let on_node = pod::is_host_network(spec);
    let (hostname, domain) = hostname_and_domain(input.pod, input.cluster_domain);
    let (ips, path) = (input.pod_ips.to_vec(), input.pod_dir.join("etc-hosts"));
    blocking(move || {
        let what = || format!("writing {}", path.display());
        let content = match on_node {
            true => {
                hosts::of_node(&fs::read_to_string(HOSTS).map_err(Error::io("reading /etc/hosts"))?, &aliases)
            }
            false => hosts::managed(&ips, &hostname, &domain, &aliases),
        };
        write(&path, &content, 0o644).map_err(Error::io(what()))?;
        Ok(path)
    })
    .await
}

async fn message_file(input: &Input<'_>) -> Result<PathBuf, Error> {
    let dir = input.pod_dir.join("containers").join(&input.container.name);
    let path = dir.join(format!("termination-log-{}", input.restart_count));
    blocking(move || {
        fs::create_dir_all(&dir)
            .and_then(|()| write(&path, "", 0o666))
            .map_err(Error::io(format!("writing {}", path.display())))?;
        Ok(path)
    })
    .await
}

/// Writes in place: the file may be mounted in containers that run.
fn write(path: &Path, content: &str, mode: u32) -> std::io::Result<()> {
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
