//! A cluster for a test: `coxswain server` on a machine of its own, with a registry, and kubectl to speak to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::{Host, both, succeed};
use crate::images::Registry;

/// How long anything may take before a test fails. Generous, since machines are noisy; nothing waits that long in a
/// test that passes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running cluster; everything it made is removed, and that is checked, when it is dropped.
pub(crate) struct Cluster {
    pub(crate) host: Host,
    pub(crate) data: PathBuf,
    server: Option<Child>,
    _registry: Registry,
}

impl Cluster {
    /// Starts a cluster and waits until its node is Ready and the default service account is there.
    pub(crate) fn start() -> Self {
        let host = Host::new();
        let registry = Registry::start(&host);
        let mut cluster = Self { data: scratch("data"), host, server: None, _registry: registry };
        cluster.start_server();
        cluster.wait_until_ready();
        cluster
    }

    /// Starts the server over the same data directory.
    pub(crate) fn start_server(&mut self) {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.data.with_extension("log")).unwrap();
        let child = self
            .host
            .command(binary())
            .args(["server", "--node-name", "node-1", "--data-dir"])
            .arg(&self.data)
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

impl Cluster {
    /// What the machine still holds of this cluster.
    fn left_behind(&self) -> Vec<String> {
        let mut found = Vec::new();
        let data = self.data.to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(data)).map(|line| format!("mount {line}")));
        let links = succeed(Command::new("ip").args(["-n", &self.host.name, "-br", "link"]));
        let ours = links.lines().filter(|line| !line.starts_with("lo ") && !line.starts_with("uplink@"));
        found.extend(ours.map(|line| format!("link {line}")));
        let tables = succeed(self.host.command("nft").args(["list", "tables"]));
        found.extend(tables.lines().map(|line| format!("nftables {line}")));
        if self.data.exists() {
            found.push(format!("directory {data}"));
        }
        found.extend(processes_naming(data).into_iter().map(|process| format!("process {process}")));
        found
    }
}

/// Processes whose command line names a path.
fn processes_naming(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(command) = fs::read(entry.path().join("cmdline")) else { continue };
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(path) {
            found.push(format!("{} {command}", entry.file_name().display()));
        }
    }
    found
}

/// The binary under test, built by `hack/test` into the shared target directory.
pub(crate) fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let binary = own.ancestors().nth(2).unwrap().join("coxswain");
    assert!(binary.exists(), "{} is not built: run `cargo build --package coxswain`", binary.display());
    binary
}

/// A fresh directory of this test run.
pub(crate) fn scratch(purpose: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("coxswain-e2e-{}", unique())).join(purpose);
    fs::create_dir_all(&path).unwrap();
    path
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
