//! Making a container: its record, its layers and its OCI bundle in a directory of its own. Runs nothing.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use cri::v1;
use nix::sys::signal::Signal;

use super::life::discard;
use super::{Container, Record};
use crate::core::{Core, blocking};
use crate::error::{Error, Result};
use crate::images::{Image, ImageConfig};
use crate::limits::AtStart;
use crate::process::Identity;
use crate::sandbox::{self, Sandbox};
use crate::{clock, files, snapshots, spec};

/// The greatest number of a signal.
const LAST_SIGNAL: i32 = 64;

/// Prepares a container in a ready sandbox; answers its ID. On failure nothing is left.
pub(crate) async fn create(
    core: &Arc<Core>,
    sandbox: &Arc<Sandbox>,
    config: v1::ContainerConfig,
) -> Result<String> {
    sandbox.monitor()?;
    if config.metadata.is_none() {
        return Err(Error::Invalid("container config must include metadata".to_owned()));
    }
    let id = files::random_id();
    let container = {
        let (core, sandbox, id) = (Arc::clone(core), Arc::clone(sandbox), id.clone());
        blocking(move || prepare(&core, &sandbox, &id, config)).await?
    };
    core.containers.insert(&id, Arc::new(container));
    core.tell(v1::ContainerEventType::ContainerCreatedEvent, &id, &sandbox.id);
    Ok(id)
}

fn prepare(core: &Core, sandbox: &Sandbox, id: &str, config: v1::ContainerConfig) -> Result<Container> {
    // Until the record says that the layers are in use.
    let _present = core.images.hold_for_adding()?;
    let name = config.image.as_ref().map(|image| image.image.as_str()).unwrap_or_default();
    let image = core.images.find(name)?;
    let image =
        image.ok_or_else(|| Error::NotFound(format!("failed to resolve image {name:?}: not found")))?;
    let image_config = core.images.config(&image)?;
    let sandbox_config = sandbox.record().config;
    let mut record = Record {
        id: id.to_owned(),
        sandbox: sandbox.id.clone(),
        image_ref: image.digests.first().unwrap_or(&image.id).clone(),
        image_name: image_name(&image, &config),
        image_id: image.id,
        layers: image.layers,
        log_path: log_path(&sandbox_config, &config),
        created_at_ns: clock::now_ns(),
        stop_signal: stop_signal(&image_config),
        cgroup_path: format!("{}/{id}", sandbox::life::cgroup_parent(core, &sandbox_config)),
        user: v1::LinuxContainerUser::default(),
        config,
    };
    let directory = core.container_dir(id);
    files::make_dir(&directory)?;
    let made = make_bundle(core, sandbox, &image_config, &directory, &record).and_then(|user| {
        record.user = user;
        Container::create(directory.clone(), record)
    });
    made.inspect_err(|_| {
        if let Err(e) = discard(&directory) {
            tracing::warn!(error = %e, "a failed container left something behind");
        }
    })
}

/// Mounts the root file system and writes the specification.
fn make_bundle(
    core: &Core,
    sandbox: &Sandbox,
    image: &ImageConfig,
    directory: &Path,
    record: &Record,
) -> Result<v1::LinuxContainerUser> {
    let security = spec::security_context(&record.config);
    let layers = core.images.layer_dirs(&record.layers);
    let rootfs = snapshots::make(directory, &layers, security.privileged)?;
    let output = spec::make(&spec::Input {
        config: &record.config,
        sandbox: &sandbox.record().config,
        image,
        rootfs: &rootfs,
        sandbox_dir: &sandbox.directory,
        cgroup_path: &record.cgroup_path,
        cgroups: &core.cgroups,
        pid_namespace: pid_namespace(core, sandbox, &security)?,
    })?;
    AtStart::of(&record.config, &record.cgroup_path).write(directory)?;
    files::write_json(&directory.join("config.json"), &output.spec)?;
    Ok(output.user)
}

fn pid_namespace(
    core: &Core,
    sandbox: &Sandbox,
    security: &v1::LinuxContainerSecurityContext,
) -> Result<spec::PidNamespace> {
    let options = security.namespace_options.clone().unwrap_or_else(|| v1::NamespaceOption {
        pid: v1::NamespaceMode::Container as i32,
        ..v1::NamespaceOption::default()
    });
    match v1::NamespaceMode::try_from(options.pid) {
        Ok(v1::NamespaceMode::Node) => Ok(spec::PidNamespace::Host),
        Ok(v1::NamespaceMode::Container) | Err(_) => Ok(spec::PidNamespace::New),
        Ok(v1::NamespaceMode::Target) => {
            Ok(spec::PidNamespace::Of(core.containers.find(&options.target_id)?.running()?.pid))
        }
        Ok(v1::NamespaceMode::Pod) => {
            let pause = files::read_text(&sandbox.directory.join(crate::shim::sandbox::PAUSE_FILE))?;
            let pause = pause.and_then(|text| text.parse::<Identity>().ok()).filter(|pause| pause.is_alive());
            let pause = pause.ok_or_else(|| {
                Error::Invalid("the sandbox was not made with a shared process namespace".to_owned())
            })?;
            Ok(spec::PidNamespace::Of(pause.pid))
        }
    }
}

/// As containerd: a tag, or else a digest; empty for an image without a name.
fn image_name(image: &Image, config: &v1::ContainerConfig) -> String {
    let asked = config.image.as_ref().map(|image| image.user_specified_image.as_str()).unwrap_or_default();
    let names = || image.tags.iter().chain(&image.digests);
    names().find(|name| *name == asked).or_else(|| names().next()).cloned().unwrap_or_default()
}

fn log_path(sandbox: &v1::PodSandboxConfig, config: &v1::ContainerConfig) -> String {
    if sandbox.log_directory.is_empty() || config.log_path.is_empty() {
        return String::new();
    }
    PathBuf::from(&sandbox.log_directory).join(&config.log_path).to_string_lossy().into_owned()
}

/// `SIGQUIT`, `QUIT`, `3` or `SIGRTMIN+3`; TERM where the image says nothing that is known.
fn stop_signal(image: &ImageConfig) -> i32 {
    let text = image.config.stop_signal.trim();
    let is_known = |number: &i32| (1..=LAST_SIGNAL).contains(number);
    let by_number = text.parse().ok().filter(is_known);
    let name = text.trim_start_matches("SIG");
    let by_name = || Signal::from_str(&format!("SIG{name}")).ok().map(|signal| signal as i32);
    by_number.or_else(by_name).or_else(|| real_time_signal(name)).unwrap_or(libc::SIGTERM)
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-14`. They count from 34 on, as everywhere: the C library keeps two of the kernel's.
fn real_time_signal(name: &str) -> Option<i32> {
    const FIRST_SIGNAL: i32 = 34;
    let (from, offset) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(offset), _) => (FIRST_SIGNAL, offset),
        (_, Some(offset)) => (LAST_SIGNAL, offset),
        _ => return None,
    };
    let sign = if from == FIRST_SIGNAL { '+' } else { '-' };
    let number = match offset {
        "" => from,
        _ => from.checked_add(offset.strip_prefix(sign).and_then(|_| offset.parse::<i32>().ok())?)?,
    };
    (FIRST_SIGNAL..=LAST_SIGNAL).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_are_known_by_name_and_number() {
        for (text, expected) in [
            ("", libc::SIGTERM),
            ("SIGQUIT", libc::SIGQUIT),
            ("INT", libc::SIGINT),
            ("9", libc::SIGKILL),
            ("SIGRTMIN+3", 37),
            ("RTMIN", 34),
            ("SIGRTMAX-14", 50),
            ("37", 37),
            ("SIGRTMIN-1", libc::SIGTERM),
            ("RTMIN+31", libc::SIGTERM),
            ("RTMIN++3", libc::SIGTERM),
            ("65", libc::SIGTERM),
            ("-9", libc::SIGTERM),
        ] {
            let mut image = ImageConfig::default();
            image.config.stop_signal = text.to_owned();
            assert_eq!(stop_signal(&image), expected, "{text}");
        }
    }
}
