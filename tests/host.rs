//! A machine for a cluster: a network namespace with an address and a link to the outside, removed when it is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

/// The machine's own address; RFC 5737 documentation range, known only inside the namespace.
pub(crate) const ADDRESS: &str = "192.0.2.10";
/// The address of a neighbour outside the machine.
pub(crate) const OUTSIDE: &str = "192.0.2.1";

/// A network namespace with a link `uplink` to a neighbour's namespace.
pub(crate) struct Host {
    pub(crate) name: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cxt{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let outside = format!("{name}-out");
        ip(&format!("netns add {name}"));
        ip(&format!("netns add {outside}"));
        ip(&format!("-n {name} link add uplink type veth peer name uplink netns {outside}"));
        for (namespace, address) in [(&name, ADDRESS), (&outside, OUTSIDE)] {
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {namespace} addr add {address}/24 dev uplink"));
            ip(&format!("-n {namespace} link set uplink up"));
        }
        ip(&format!("-n {name} route add default via {OUTSIDE}"));
        Self { name }
    }

    /// A command that runs on this machine.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        within(&self.namespace(), program)
    }

    /// Runs a function on a thread of this machine.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let namespace = File::open(self.namespace()).unwrap();
        std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            function()
        })
    }

    /// The network namespace of the neighbour, a machine of its own as far as networks go.
    pub(crate) fn neighbour(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}-out", self.name))
    }

    fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}", self.name))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        ip(&format!("netns delete {}", self.name));
        ip(&format!("netns delete {}-out", self.name));
    }
}

/// A command that runs in a network namespace.
pub(crate) fn within(namespace: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).arg("--").arg(program);
    command
}

fn ip(arguments: &str) {
    succeed(Command::new("ip").args(arguments.split(' ')));
}

/// Runs a command and returns its output; panics with what it printed when it fails.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command printed on both streams.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
