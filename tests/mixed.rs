//! Mixed clusters: stock components at our API server, ours at stock kube-apiserver. What passes between them is the public
//! API and nothing else.
//!
//! Stock kube-scheduler at our API server is missing: it waits until it has listed CSINodes, ResourceClaims, ResourceSlices and
//! DeviceClasses, whatever plugins it is told to leave out, and those kinds are not served yet.
//!
//! The stock programs take minutes to build: `conformance/mixed` does that and runs these.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent::{Agent, IMAGE};
use crate::cluster::{Cluster, binary, eventually, scratch, text};
use crate::host::{ADDRESS, Host, both, succeed};

/// A component in the background, with a log; it ends with the test.
struct Component {
    process: Child,
    log: PathBuf,
}

impl Component {
    fn start(host: &Host, program: &Path, arguments: &[&str], log: PathBuf) -> Self {
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = host.command(program);
        command.args(arguments).stdout(file.try_clone().unwrap()).stderr(file);
        Self { process: command.spawn().unwrap(), log }
    }

    /// Asks it to end and waits until it has.
    fn stop(&mut self) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        self.process.wait().unwrap();
    }

    /// What a stock component logged as errors and did not get over by itself would show here.
    fn errors(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().filter(|line| line.starts_with('E') || line.starts_with('F')).map(str::to_owned).collect()
    }
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

#[test]
#[ignore = "needs stock components: conformance/mixed builds them and runs this"]
fn stock_controllers_work_at_our_api_server_and_ours_take_over_from_them() {
    let cluster = Cluster::apiserver();
    let logs = cluster.data.parent().unwrap().to_owned();
    let data = |file: &str| text(&cluster.data.join(file)).to_owned();
    let start = |name: &str, program: &Path, arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Component::start(&cluster.host, program, &arguments, logs.join(name).with_extension("log"))
    };
    let scheduler = ["scheduler".to_owned(), format!("--kubeconfig={}", data("scheduler.kubeconfig"))];
    let _scheduler = start("scheduler", &binary(), &scheduler);
    let mut controllers: Vec<String> =
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
            .map(|flag| format!("--{flag}={}", data("controller-manager.kubeconfig")))
            .into();
    controllers.extend([
        "--secure-port=0".to_owned(),
        // It waits for DaemonSets, which our API server does not serve yet: ours is run instead.
        "--controllers=*,-node-lifecycle-controller".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        "--allocate-node-cidrs=true".to_owned(),
        "--cluster-cidr=10.244.0.0/16".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--root-ca-file={}", data("pki/ca.crt")),
        format!("--service-account-private-key-file={}", data("pki/sa.key")),
        format!("--cluster-signing-cert-file={}", data("pki/ca.crt")),
        format!("--cluster-signing-key-file={}", data("pki/ca.key")),
    ]);
    let mut controllers = start("kube-controller-manager", &stock("kube-controller-manager"), &controllers);
    // What upstream leaves to others: who lets kubelets have serving certificates, and the endpoints of our DNS.
    let own = [
        "controller-manager".to_owned(),
        format!("--kubeconfig={}", data("controller-manager.kubeconfig")),
        "--use-service-account-credentials".to_owned(),
        "--controllers=kubelet-serving-certificate-approving-controller,dns-endpoints-controller,\
         node-lifecycle-controller"
            .to_owned(),
        "--leader-elect-resource-name=coxswain-controllers".to_owned(),
    ];
    let _own = start("controllers", &binary(), &own);

    let mut agent = Agent::new(&cluster);
    agent.join(&cluster);
    agent.import_image();
    make_namespace(&cluster);
    cluster.apply(&web(IMAGE));
    cluster.ok(&["rollout", "status", "deployment/web", "-n", "shop", "--timeout=120s"]);
    until_reached(&cluster);
    let events = [
        "get",
        "events",
        "-n",
        "shop",
        "-o",
        "jsonpath={.items[*].source.component} {.items[*].reportingComponent}",
    ];
    let reported = cluster.ok(&events);
    for reporter in ["default-scheduler", "deployment-controller", "replicaset-controller"] {
        assert!(reported.contains(reporter), "{reported}");
    }

    // Ours stands by, and takes the lease that the stock one has or lets go.
    let holder = lease_holder(&cluster, "kube-controller-manager");
    let standing_by = [
        "controller-manager".to_owned(),
        format!("--kubeconfig={}", data("controller-manager.kubeconfig")),
        "--use-service-account-credentials".to_owned(),
        "--controllers=*,-node-lifecycle-controller".to_owned(),
    ];
    let _standing_by = start("standing-by", &binary(), &standing_by);
    let other = |cluster: &Cluster| {
        Some(lease_holder(cluster, "kube-controller-manager")).filter(|now| *now != holder)
    };
    assert_eq!(other(&cluster), None, "a lease that is held is left alone");
    controllers.stop();
    eventually("ours leads", || other(&cluster).filter(|now| !now.is_empty()));
    cluster.ok(&["scale", "deployment/web", "-n", "shop", "--replicas=3"]);
    cluster.ok(&["rollout", "status", "deployment/web", "-n", "shop", "--timeout=120s"]);

    remove_all(&cluster);
    let errors = controllers.errors();
    println!("kube-controller-manager logged {} errors:", errors.len());
    errors.iter().for_each(|line| println!("  {line}"));
    for name in ["kube-controller-manager", "controllers", "scheduler", "standing-by"] {
        fs::remove_file(logs.join(name).with_extension("log")).unwrap();
    }
}

/// Stock etcd and kube-apiserver on a machine of their own.
struct StockApi {
    programs: Component,
    directory: PathBuf,
    host: Host,
}

impl StockApi {
    fn start() -> Self {
        let (host, directory) = (Host::new(), scratch("stock"));
        let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/stock"));
        let log = directory.with_extension("log");
        // Without kube-controller-manager: that is what the empty word says.
        let programs = Component::start(&host, script, &[text(&directory), ADDRESS, "6443", ""], log);
        let api = Self { programs, directory, host };
        eventually("stock kube-apiserver is ready", || api.file("kubeconfig").exists().then_some(()));
        api
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Kubectl for StockApi {
    fn command(&self) -> Command {
        let mut command = self.host.command("kubectl");
        command.env("KUBECONFIG", self.file("kubeconfig")).env("HOME", &self.directory);
        command.stderr(Stdio::piped());
        command
    }
}

impl Drop for StockApi {
    fn drop(&mut self) {
        self.programs.stop();
        fs::remove_dir_all(self.directory.parent().unwrap()).ok();
    }
}

#[test]
#[ignore = "needs stock components: conformance/mixed builds them and runs this"]
fn our_scheduler_and_controllers_work_at_stock_kube_apiserver() {
    let api = StockApi::start();
    let logs = scratch("logs");
    let start =
        |name: &str, arguments: &[&str]| Component::start(&api.host, &binary(), arguments, logs.join(name));
    let file = |name: &str| text(&api.file(name)).to_owned();
    let (authority, key) = (file("ca.crt"), file("ca.key"));
    let _controllers = start(
        "controllers.log",
        &[
            "controller-manager",
            "--kubeconfig",
            &file("controller-manager.kubeconfig"),
            "--use-service-account-credentials",
            "--root-ca-file",
            &authority,
            "--cluster-signing-cert-file",
            &authority,
            "--cluster-signing-key-file",
            &key,
            "--allocate-node-cidrs",
            "--cluster-cidr",
            "10.244.0.0/16",
            // Nobody renews what the test's node says.
            "--node-monitor-grace-period",
            "1h",
        ],
    );
    let _scheduler = start("scheduler.log", &["scheduler", "--kubeconfig", &file("scheduler.kubeconfig")]);

    // A node that the test plays.
    api.apply("apiVersion: v1\nkind: Node\nmetadata: {name: played}\n");
    let ready = r#"{"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Played"}],
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "20"}, "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"}}}"#;
    api.ok(&["patch", "node", "played", "--subresource=status", "-p", ready]);
    let range = ["get", "node", "played", "-o", "jsonpath={.spec.podCIDR}"];
    api.until("the node has its range of addresses", &range, |range| range == "10.244.0.0/24");
    make_namespace(&api);
    api.apply(&web("example.test/web:v1"));
    let bound = [
        "get",
        "pods",
        "-n",
        "shop",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{'\\n'}{end}",
    ];
    let pods = api.until("both pods are bound", &bound, |pods| pods.matches(" played").count() == 2);
    for (number, line) in pods.lines().enumerate() {
        let running = format!(
            r#"{{"status": {{"phase": "Running", "podIP": "10.244.0.{0}", "podIPs": [{{"ip": "10.244.0.{0}"}}],
            "conditions": [{{"type": "Ready", "status": "True"}}, {{"type": "ContainersReady", "status": "True"}}]}}}}"#,
            number + 5
        );
        let name = line.split(' ').next().unwrap();
        api.ok(&["patch", "pod", name, "-n", "shop", "--subresource=status", "-p", &running]);
    }
    api.ok(&["rollout", "status", "deployment/web", "-n", "shop", "--timeout=120s"]);
    until_reached(&api);
    for component in ["kube-scheduler", "kube-controller-manager"] {
        assert!(!lease_holder(&api, component).is_empty(), "{component} leads");
    }
    remove_all(&api);
    for log in ["controllers.log", "scheduler.log"] {
        println!("{log}:\n{}", fs::read_to_string(logs.join(log)).unwrap());
    }
    let described = both(&api.command().args(["get", "events", "-A"]).output().unwrap());
    assert!(described.contains("LeaderElection"), "{described}");
    fs::remove_dir_all(logs.parent().unwrap()).unwrap();
}
