//! Mixed clusters: stock components at our API server, ours at stock kube-apiserver. What passes between them is the public
//! API and nothing else.
//!
//! The stock programs take minutes to build: `conformance/mixed` does that and runs these.

mod at_ours;
mod at_stock;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::{Cluster, eventually, scratch, text};
use crate::host::{Host, succeed};

/// A component in the background, with a log; it ends with the test.
pub(crate) struct Component {
    process: Child,
    log: PathBuf,
}

impl Component {
    pub(crate) fn start(host: &Host, program: &Path, arguments: &[&str], log: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = host.command(program);
        command.args(arguments).stdout(file.try_clone().unwrap()).stderr(file);
        Self { process: command.spawn().unwrap(), log }
    }

    /// Asks it to end and waits until it has; says how it ended.
    fn stop(&mut self) -> ExitStatus {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        self.process.wait().unwrap()
    }

    /// Fails if it logged an error in which none of the expected texts is.
    fn logged_no_errors_but(&self, expected: &[&str]) {
        let log = fs::read_to_string(&self.log).unwrap();
        assert!(!log.is_empty(), "{} is empty", self.log.display());
        let is_expected = |line: &str| expected.iter().any(|text| line.contains(text));
        let errors = log.lines().filter(|line| is_error(line) && !is_expected(line));
        assert_eq!(errors.collect::<Vec<_>>(), Vec::<&str>::new(), "{}", self.log.display());
    }
}

/// Whether a line of a log is an error: klog's begin with the level and the date, ours with a time and the level.
fn is_error(line: &str) -> bool {
    let is_klog = line.starts_with(['E', 'F']) && line[1..].starts_with(|c: char| c.is_ascii_digit());
    is_klog || line.starts_with("panic: ") || line.split_whitespace().nth(1) == Some("ERROR")
}

impl Drop for Component {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            eprintln!("{} ends:", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// A program that `conformance/build stock` makes.
fn stock(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/conformance/bin").join(program);
    assert!(path.exists(), "{} is not built: run conformance/build stock", path.display());
    path
}

/// A cluster as kubectl sees it, whatever serves it.
trait Kubectl {
    fn command(&self) -> Command;

    fn ok(&self, arguments: &[&str]) -> String {
        succeed(self.command().args(arguments))
    }

    fn until(&self, what: &str, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        eventually(what, || {
            let output = self.command().args(arguments).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            (output.status.success() && wanted(&printed)).then_some(printed)
        })
    }

    fn apply(&self, manifest: &str) {
        let file = scratch("manifest").join("manifest.yaml");
        fs::write(&file, manifest).unwrap();
        self.ok(&["apply", "-f", text(&file)]);
        fs::remove_dir_all(file.ancestors().nth(2).unwrap()).unwrap();
    }
}

impl Kubectl for Cluster {
    fn command(&self) -> Command {
        self.kubectl_command()
    }
}

fn web(image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {{name: web, image: {image}, imagePullPolicy: Never, ports: [{{containerPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    )
}

/// A namespace with what every namespace gets.
fn make_namespace(cluster: &impl Kubectl) {
    cluster.ok(&["create", "namespace", "shop"]);
    cluster.until("its service account", &["get", "serviceaccount", "default", "-n", "shop"], |_| true);
    let authority = ["get", "configmap", "kube-root-ca.crt", "-n", "shop", "-o", "jsonpath={.data}"];
    cluster.until("its authority", &authority, |data| data.contains("BEGIN CERTIFICATE"));
    let token = cluster.ok(&["create", "token", "default", "-n", "shop"]);
    assert_eq!(token.matches('.').count(), 2, "{token}");
}

/// Everything that belongs to a deployment goes with it, and everything in a namespace with that.
fn remove_all(cluster: &impl Kubectl) {
    cluster.ok(&["delete", "deployment", "web", "-n", "shop", "--wait=false"]);
    let left = ["get", "deployments,replicasets,pods", "-n", "shop", "-o", "name"];
    cluster.until("the garbage is collected", &left, str::is_empty);
    cluster.ok(&["delete", "namespace", "shop", "--timeout=110s"]);
}

fn lease_holder(cluster: &impl Kubectl, component: &str) -> String {
    cluster.ok(&["get", "lease", component, "-n", "kube-system", "-o", "jsonpath={.spec.holderIdentity}"])
}

/// Waits until the service leads to both pods, and compares both forms in which it says so.
fn until_reached(cluster: &impl Kubectl) {
    let endpoints = ["get", "endpoints", "web", "-n", "shop", "-o", "jsonpath={.subsets[*].addresses[*].ip}"];
    let found = cluster.until("both pods are endpoints", &endpoints, |ips| ips.split(' ').count() == 2);
    let slices = "jsonpath={.items[*].endpoints[*].addresses[*]}";
    let slices =
        ["get", "endpointslices", "-n", "shop", "-l", "kubernetes.io/service-name=web", "-o", slices];
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        words.sort();
        words
    };
    cluster.until("and in a slice", &slices, |ips| sorted(ips) == sorted(&found));
}
