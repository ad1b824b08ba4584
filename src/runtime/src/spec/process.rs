//! What a container runs: arguments, environment, working directory, and with which rights.

use std::path::Path;

use cri::v1;
use serde_json::{Value, json};

use super::{Input, capabilities, rootfs};
use crate::error::{Error, Result};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn make(
    input: &Input<'_>,
    security: &v1::LinuxContainerSecurityContext,
    user: &v1::LinuxContainerUser,
) -> Result<Value> {
    let resources = input.config.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    let mut process = json!({
        "terminal": input.config.tty,
        "args": args(input)?,
        "env": env(input),
        "cwd": cwd(input)?,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": user.supplemental_groups},
        "capabilities": capabilities::make(security)?,
        "noNewPrivileges": security.no_new_privs,
    });
    // libcontainer looks only whether the field is there when it decides when to load a seccomp profile.
    if !security.no_new_privs {
        process.as_object_mut().expect("made as an object").remove("noNewPrivileges");
    }
    if let Some(resources) = resources {
        process["oomScoreAdj"] = json!(allowed_oom_score(resources.oom_score_adj));
    }
    Ok(process)
}

/// A command replaces the image's entry point and arguments, arguments alone replace only the latter.
fn args(input: &Input<'_>) -> Result<Vec<String>> {
    let (config, image) = (input.config, &input.image.config);
    let mut args = if config.command.is_empty() { image.entrypoint.clone() } else { config.command.clone() };
    if config.command.is_empty() && config.args.is_empty() {
        args.extend(image.cmd.iter().cloned());
    } else {
        args.extend(config.args.iter().cloned());
    }
    if args.is_empty() {
        return Err(Error::Start("no command specified".to_owned()));
    }
    Ok(args)
}

/// Later definitions of a variable replace earlier ones, in place.
fn env(input: &Input<'_>) -> Vec<String> {
    let mut env: Vec<String> = Vec::new();
    let mut set = |variable: String| {
        let name = variable.split('=').next().unwrap_or_default();
        let is_same = |known: &String| known.split('=').next() == Some(name);
        match env.iter().position(is_same) {
            Some(index) => env[index] = variable,
            None => env.push(variable),
        }
    };
    set(DEFAULT_PATH.to_owned());
    set(format!("HOSTNAME={}", hostname(input.sandbox)));
    if input.config.tty {
        set("TERM=xterm".to_owned());
    }
    input.image.config.env.iter().cloned().for_each(&mut set);
    input
        .config
        .envs
        .iter()
        .map(|variable| format!("{}={}", variable.key, variable.value))
        .for_each(&mut set);
    env
}

/// The sandbox's host name; on the host's network it is the machine's.
fn hostname(sandbox: &v1::PodSandboxConfig) -> String {
    if sandbox.hostname.is_empty() {
        return nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
    }
    sandbox.hostname.clone()
}

/// The working directory, made when the image does not have it.
fn cwd(input: &Input<'_>) -> Result<String> {
    let candidates = [&input.config.working_dir, &input.image.config.working_dir];
    let cwd = candidates.into_iter().find(|cwd| !cwd.is_empty()).cloned().unwrap_or_else(|| "/".to_owned());
    let path = Path::new(&cwd);
    if !path.is_absolute() {
        return Err(Error::Start(format!("working directory {cwd} is not an absolute path")));
    }
    let is_in_mount = input.config.mounts.iter().any(|mount| path.starts_with(&mount.container_path));
    if !is_in_mount {
        rootfs::make_dir_in(input.rootfs, path)?;
    }
    Ok(cwd)
}

/// Going below one's own score needs a privilege that not every machine gives.
fn allowed_oom_score(wanted: i64) -> i64 {
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let own: i64 = own.trim().parse().unwrap_or(0);
    let floor = if capabilities::has_sys_resource() { -1000 } else { own };
    wanted.clamp(floor, 1000)
}
