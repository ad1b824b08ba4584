//! A cluster for a test: `coxswain server` on a machine of its own, with a registry, and kubectl to speak to it.

mod leftovers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) use self::leftovers::processes_naming;
use crate::host::{Host, both, succeed};
use crate::images::Registry;

/// How long anything may take before a test fails. Generous, since machines are noisy; nothing waits that long in a
/// test that passes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that has enough left of a disk however little that is, and keeps all images.
pub(crate) const SERVER: &[&str] = &[
    "server",
    "--eviction-hard=memory.available<50Mi,nodefs.available<64Mi,imagefs.available<64Mi",
    "--image-gc-high-threshold=100",
    "--node-name=node-1",
];

/// A running cluster; everything it made is removed, and that is checked, when it is dropped.
pub(crate) struct Cluster {
    pub(crate) host: Host,
    pub(crate) data: PathBuf,
    server: Option<Child>,
    /// What the server is: all of a cluster, or an API server alone.
    role: &'static [&'static str],
    /// What the server finds in its environment beside what the test has.
    environment: Vec<(&'static str, PathBuf)>,
    /// What the server is told beside its name and data directory.
    arguments: Vec<&'static str>,
    _registry: Registry,
}

impl Cluster {
    /// Starts a cluster and waits until its node is Ready and the default service account is there.
    pub(crate) fn start() -> Self {
        Self::start_in(Vec::new())
    }

    /// The same with more arguments for the server.
    pub(crate) fn start_with(arguments: &[&'static str]) -> Self {
        Self::start_as(Vec::new(), arguments.to_vec())
    }

    /// The same with more in the server's environment.
    pub(crate) fn start_in(environment: Vec<(&'static str, PathBuf)>) -> Self {
        Self::start_as(environment, Vec::new())
    }

    fn start_as(environment: Vec<(&'static str, PathBuf)>, arguments: Vec<&'static str>) -> Self {
        let host = Host::new();
        let registry = Registry::start(&host);
        let data = scratch("data");
        let mut cluster =
            Self { data, host, server: None, role: SERVER, environment, arguments, _registry: registry };
        cluster.start_server();
        cluster.wait_until_ready();
        cluster
    }

    /// Starts an API server alone: no controllers, no scheduler, no node.
    pub(crate) fn apiserver() -> Self {
        Self::without_node(&["apiserver"], Vec::new(), |_| {})
    }

    /// Starts a control plane without a node.
    pub(crate) fn control_plane(arguments: &[&'static str]) -> Self {
        Self::control_plane_over(arguments, |_| {})
    }

    /// The same over what `prepare` puts into the data directory.
    pub(crate) fn control_plane_over(arguments: &[&'static str], prepare: impl FnOnce(&Self)) -> Self {
        Self::without_node(SERVER, [&["--without-node"], arguments].concat(), prepare)
    }

    fn without_node(
        role: &'static [&'static str],
        arguments: Vec<&'static str>,
        prepare: impl FnOnce(&Self),
    ) -> Self {
        let host = Host::new();
        let (environment, registry) = (Vec::new(), Registry::start(&host));
        let data = scratch("data");
        let mut cluster =
            Self { data, host, server: None, role, environment, arguments, _registry: registry };
        prepare(&cluster);
        cluster.start_server();
        cluster
    }

    /// Starts the server over the same data directory.
    pub(crate) fn start_server(&mut self) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.data.with_extension("log")).unwrap();
        let child = self
            .host
            .command(binary())
            .args(self.role)
            .arg("--data-dir")
            .arg(&self.data)
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(child);
        eventually("the API answers", || {
            self.kubectl(&["get", "--raw", "/readyz"]).status.success().then_some(())
        });
    }

    pub(crate) fn wait_until_ready(&self) {
        eventually("the node is Ready", || {
            self.kubectl(&["wait", "--for=condition=Ready", "node/node-1", "--timeout=5s"])
                .status
                .success()
                .then_some(())
        });
        eventually("the default service account is there", || {
            self.kubectl(&["get", "serviceaccount", "default"]).status.success().then_some(())
        });
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn kill_server(&mut self) {
        let mut child = self.server.take().expect("the server runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the server to end and waits until it has.
    pub(crate) fn stop_server(&mut self) {
        let mut child = self.server.take().expect("the server runs");
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "the server ended with {status}; its log:\n{}", self.log());
    }

    /// Runs kubectl on the cluster's machine.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_command().args(arguments).output().unwrap()
    }

    /// Runs kubectl, which must succeed, and returns what it printed on standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        succeed(self.kubectl_command().args(arguments))
    }

    /// Runs kubectl, which must fail, and returns what it printed.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(!output.status.success(), "kubectl {arguments:?} succeeded:\n{}", both(&output));
        both(&output)
    }

    /// `kubectl apply` of a manifest.
    pub(crate) fn apply(&self, manifest: &str) -> String {
        let file = self.data.with_extension(format!("{}.yaml", unique()));
        fs::write(&file, manifest).unwrap();
        let printed = self.ok(&["apply", "-f", file.to_str().unwrap()]);
        fs::remove_file(file).unwrap();
        printed
    }

    /// kubectl on the cluster's machine with the admin's kubeconfig and a cache of its own.
    pub(crate) fn kubectl_command(&self) -> Command {
        let mut command = self.host.command("kubectl");
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", &self.data)
            .env_remove("KUBERNETES_SERVICE_HOST");
        command
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    /// `coxswain ARGUMENTS --data-dir <the cluster's>` on the cluster's machine.
    pub(crate) fn coxswain(&self, arguments: &[&str]) -> Output {
        self.host.command(binary()).args(arguments).arg("--data-dir").arg(&self.data).output().unwrap()
    }

    /// `coxswain snapshot ARGUMENTS` on the cluster's machine.
    pub(crate) fn snapshot(&self, arguments: &[&str]) -> Output {
        self.host.command(binary()).arg("snapshot").args(arguments).output().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data.with_extension("log")).unwrap_or_default()
    }

    /// What a person would look at when a test fails.
    fn describe(&self) {
        for arguments in [&["get", "all,events", "-A", "-o", "wide"][..], &["describe", "pods"][..]] {
            eprintln!("$ kubectl {arguments:?}\n{}", both(&self.kubectl(arguments)));
        }
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(60).collect();
        eprintln!("the server's log ends:");
        tail.iter().rev().for_each(|line| eprintln!("{line}"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            self.describe();
        }
        if let Some(mut child) = self.server.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let reset = self.coxswain(&["reset"]);
        fs::remove_file(self.data.with_extension("log")).ok();
        if failed {
            return;
        }
        assert!(reset.status.success(), "reset: {}", both(&reset));
        assert_eq!(self.left_behind(), Vec::<String>::new(), "left behind after reset");
    }
}

/// The binary under test, built by `hack/test` into the shared target directory.
pub(crate) fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let binary = own.ancestors().nth(2).unwrap().join("coxswain");
    assert!(binary.exists(), "{} is not built: run `cargo build --package coxswain`", binary.display());
    binary
}

const SCRATCH: &str = "coxswain-e2e-";

/// A fresh directory of this test run. What a test does not remove itself, the next run does.
pub(crate) fn scratch(purpose: &str) -> PathBuf {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep);
    let path = std::env::temp_dir().join(format!("{SCRATCH}{}", unique())).join(purpose);
    fs::create_dir_all(&path).unwrap();
    path
}

/// Removes the directories of runs that have ended, but for those that a failed test left something mounted in.
fn sweep() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let of_run =
            name.to_str().and_then(|name| name.strip_prefix(SCRATCH)?.split('-').next()?.parse::<u32>().ok());
        let has_ended = of_run.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if has_ended && !mounts.contains(path.to_str().unwrap()) {
            // Another run may be sweeping, too.
            fs::remove_dir_all(path).ok();
        }
    }
}

fn unique() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks until there is an answer; fails the test when there is none for too long.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "still not so after {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
