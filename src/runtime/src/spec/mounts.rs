//! The file systems in a container: those that every container has, the sandbox's files, and the request's mounts.

use std::path::Path;

use cri::v1;
use serde_json::{Value, json};

use super::Input;
use crate::error::{At, Error, Result};
use crate::files;

/// The mounts, and how the container's root passes on mounts.
pub(super) fn make(input: &Input<'_>, is_privileged: bool) -> Result<(Vec<Value>, Option<&'static str>)> {
    let is_taken =
        |path: &str| input.config.mounts.iter().any(|m| Path::new(&m.container_path) == Path::new(path));
    let mut mounts = standard(is_privileged);
    for (name, inside) in
        [("shm", "/dev/shm"), ("hostname", "/etc/hostname"), ("resolv.conf", "/etc/resolv.conf")]
    {
        if !is_taken(inside) && input.sandbox_dir.join(name).exists() {
            mounts.push(bind(&input.sandbox_dir.join(name), inside, &["rbind", "rprivate", "rw"]));
        }
    }
    mounts.retain(|mount| !mount["destination"].as_str().is_some_and(is_taken));

    let mut asked: Vec<&v1::Mount> = input.config.mounts.iter().collect();
    // A mount inside another must come after it.
    asked.sort_by_key(|mount| Path::new(&mount.container_path).components().count());
    for mount in &asked {
        mounts.push(requested(mount)?);
    }
    let is_used = |wanted: v1::MountPropagation| asked.iter().any(|m| m.propagation == wanted as i32);
    let propagation = match () {
        () if is_used(v1::MountPropagation::PropagationBidirectional) => Some("shared"),
        () if is_used(v1::MountPropagation::PropagationHostToContainer) => Some("slave"),
        () => None,
    };
    Ok((mounts, propagation))
}

fn standard(is_privileged: bool) -> Vec<Value> {
    let access = if is_privileged { "rw" } else { "ro" };
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", access]),
        mount("/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]),
    ]
}

fn requested(mount: &v1::Mount) -> Result<Value> {
    if mount.image.is_some() {
        return Err(Error::Unsupported("image volumes are not supported by this runtime".to_owned()));
    }
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err(Error::Unsupported("ID-mapped mounts are not supported by this runtime".to_owned()));
    }
    let host = Path::new(&mount.host_path);
    // As containerd does, for host paths that nobody made before.
    if !host.exists() {
        std::fs::create_dir_all(host).at("create", host)?;
    }
    let host = host.canonicalize().at("resolve", host)?;
    let propagation = match v1::MountPropagation::try_from(mount.propagation) {
        Ok(v1::MountPropagation::PropagationBidirectional) => "rshared",
        Ok(v1::MountPropagation::PropagationHostToContainer) => "rslave",
        _ => "rprivate",
    };
    let access = match (mount.readonly, mount.recursive_read_only) {
        (true, true) => "rro",
        (true, false) => "ro",
        _ => "rw",
    };
    Ok(bind(&host, &mount.container_path, &["rbind", propagation, access]))
}

fn bind(host: &Path, inside: &str, options: &[&str]) -> Value {
    json!({"destination": inside, "type": "bind", "source": host, "options": options})
}

/// Writes what a sandbox gives to all of its containers: `hostname` and `resolv.conf`.
pub(crate) fn write_sandbox_files(
    directory: &Path,
    config: &v1::PodSandboxConfig,
    has_own_name: bool,
) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let hostname = match has_own_name {
        true => config.hostname.clone(),
        false => nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    let resolv_conf = match &config.dns_config {
        Some(dns) => resolv_conf(dns),
        None => files::read_text(Path::new("/etc/resolv.conf"))?.unwrap_or_default(),
    };
    for (name, text) in [("hostname", format!("{hostname}\n")), ("resolv.conf", resolv_conf)] {
        let path = directory.join(name);
        files::write_atomically(&path, text.as_bytes())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))
            .at("change mode of", &path)?;
    }
    Ok(())
}

/// Format: resolv.conf(5).
fn resolv_conf(dns: &v1::DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}
