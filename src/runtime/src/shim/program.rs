//! Finding and executing a program inside a container, with the error texts that runc gives: users and tests know them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use nix::unistd::{AccessFlags, access, execve};

/// The environment variable names and values that a process starts with, as `NAME=value`.
pub(crate) type Environment = Vec<String>;

/// Where a command name leads, seen from inside the container and as its user.
pub(crate) fn find(name: &str, env: &[String]) -> Result<PathBuf, String> {
    let fail = |what: &str| Err(format!("exec: {name:?}: {what}"));
    if name.contains('/') {
        let path = Path::new(name);
        return match std::fs::metadata(path) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => fail("permission denied"),
            Err(_) => fail(&format!("stat {name}: no such file or directory")),
            Ok(m) if m.is_dir() => fail("is a directory"),
            Ok(_) if access(path, AccessFlags::X_OK).is_err() => fail("permission denied"),
            Ok(_) => Ok(path.to_owned()),
        };
    }
    let search = env.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or_default();
    let mut directories = search.split(':').map(|d| if d.is_empty() { "." } else { d });
    let is_program = |path: &PathBuf| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    match directories.find_map(|directory| Some(Path::new(directory).join(name)).filter(is_program)) {
        Some(path) if !name.is_empty() => Ok(path),
        _ => fail("executable file not found in $PATH"),
    }
}

/// Replaces this process. Only returns when that fails, with the reason.
pub(crate) fn execute(path: &Path, args: &[String], env: &[String]) -> Result<Infallible, String> {
    let c = |text: &str| CString::new(text).map_err(|e| format!("exec: {text:?}: {e}"));
    let c_path = c(&path.to_string_lossy())?;
    let c_args = args.iter().map(|a| c(a)).collect::<Result<Vec<_>, _>>()?;
    let c_env = env.iter().map(|e| c(e)).collect::<Result<Vec<_>, _>>()?;
    reset_signals();
    let errno = execve(&c_path, &c_args, &c_env).expect_err("returns only on failure");
    Err(format!("exec {}: {}", path.display(), errno.desc().to_lowercase()))
}

/// Programs begin with no signal ignored or blocked. Rust ignores broken pipes, which would be inherited: `yes | head` would
/// never end.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action runs no code of this process. Those that cannot be changed need no change.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask().ok(/* an empty set is always valid */);
}

/// What libcontainer calls at the end of a container's set-up.
#[derive(Clone)]
pub(super) struct Program;

impl Executor for Program {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let (args, env) = process_of(spec);
        let name = args.first().map(String::as_str).unwrap_or_default();
        find(name, &env).map(drop).map_err(ExecutorValidationError::ArgValidationError)
    }

    fn setup_envs(&self, env: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // libcontainer adds HOME and the like to what the specification has; `exec` reads it from here.
        for (name, _) in std::env::vars_os() {
            // SAFETY: this process has one thread.
            unsafe { std::env::remove_var(name) };
        }
        for (name, value) in env {
            // SAFETY: this process has one thread.
            unsafe { std::env::set_var(name, value) };
        }
        Ok(())
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (args, given) = process_of(spec);
        let name = args.first().ok_or(ExecutorError::InvalidArg)?;
        let env: Environment = std::env::vars_os()
            .map(|(n, v)| format!("{}={}", n.to_string_lossy(), v.to_string_lossy()))
            .collect();
        let path = find(name, &given).map_err(ExecutorError::Other)?;
        let message = execute(&path, args, &env).expect_err("returns only on failure");
        // By now the container's own error output is the only place where somebody will look.
        eprintln!("{message}");
        Err(ExecutorError::Other(message))
    }
}

fn process_of(spec: &Spec) -> (&[String], Environment) {
    let process = spec.process().as_ref();
    let args = process.and_then(|p| p.args().as_deref()).unwrap_or_default();
    let env = process.and_then(|p| p.env().clone()).unwrap_or_default();
    (args, env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Result<&str, &str>) {
        let found = find(name, &["PATH=/nowhere:/bin".to_owned()]);
        assert_eq!(found, expected.map(PathBuf::from).map_err(str::to_owned));
    }

    #[test]
    fn commands_are_found_and_errors_read_like_runcs() {
        check("sh", Ok("/bin/sh"));
        check("/bin/sh", Ok("/bin/sh"));
        check("no-such", Err("exec: \"no-such\": executable file not found in $PATH"));
        check("", Err("exec: \"\": executable file not found in $PATH"));
        check("/no-such", Err("exec: \"/no-such\": stat /no-such: no such file or directory"));
        check("/etc", Err("exec: \"/etc\": is a directory"));
    }
}
