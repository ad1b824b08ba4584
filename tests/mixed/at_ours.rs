//! Stock components at our API server.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::{Component, Kubectl, lease_holder, make_namespace, remove_all, stock, until_reached, web};
use crate::agent::{Agent, IMAGE};
use crate::cluster::{Cluster, binary, eventually, text};

/// Starts components on the cluster's machine, each with a log beside its data.
struct Components<'a> {
    cluster: &'a Cluster,
    logs: PathBuf,
    names: Vec<&'static str>,
}

impl<'a> Components<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, logs: cluster.data.parent().unwrap().to_owned(), names: Vec::new() }
    }

    fn start(&mut self, name: &'static str, program: &Path, arguments: &[String]) -> Component {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.names.push(name);
        Component::start(&self.cluster.host, program, &arguments, self.log(name))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(name).with_extension("log")
    }

    /// Removes the logs of a test that has passed.
    fn forget(self) {
        self.names.iter().for_each(|name| fs::remove_file(self.log(name)).unwrap());
    }
}

/// The three flags by which a stock component finds its API server, and asks it who its own clients are.
fn kubeconfigs(file: &str) -> Vec<String> {
    ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
        .map(|flag| format!("--{flag}={file}"))
        .into()
}

/// What stock kube-controller-manager follows and our API server does not serve yet. An entry goes when its kind comes.
const NOT_SERVED: [&str; 16] = [
    "v1.ControllerRevision",
    "v1.CSIDriver",
    "v1.CronJob",
    "v1.DaemonSet",
    "v1.Job",
    "v1.PersistentVolume",
    "v1.PersistentVolumeClaim",
    "v1.PodDisruptionBudget",
    "v1.ReplicationController",
    "v1.ResourceQuota",
    "v1.StatefulSet",
    "v1.StorageClass",
    "v1.ValidatingAdmissionPolicy",
    "v1.VolumeAttachment",
    "v1.VolumeAttributesClass",
    "v2.HorizontalPodAutoscaler",
];

/// Other errors that stock kube-controller-manager logs at our API server.
const EXPECTED_OF_CONTROLLERS: [&str; 3] = [
    NO_MANIFEST,
    // Our API server never made tokens as Secrets, so it keeps no date since when it looks for those that are used.
    r#"configmaps \"kube-apiserver-legacy-service-account-token-tracking\" not found"#,
    // What it has written has not come back by its watch; it tries again, which upstream logs as an error.
    "is not as new as written version",
];

/// Errors that stock kube-scheduler logs.
const EXPECTED_OF_SCHEDULER: [&str; 3] = [
    NO_MANIFEST,
    // On its secure port it would believe proxies that the API server vouches for; ours names none.
    r#"missing content for CA bundle \"client-ca::kube-system::extension-apiserver-authentication::requestheader-client-ca-file"#,
    // It is told to end while it reports something.
    "broadcaster already stopped",
];

/// Said wherever no file is named that leaves out labels of metrics (`component-base/metrics/options.go`).
const NO_MANIFEST: &str = "The manifest file is empty, ignoring.";

#[test]
#[ignore = "needs stock components: conformance/mixed builds them and runs this"]
fn stock_controllers_work_at_our_api_server_and_ours_take_over_from_them() {
    let cluster = Cluster::apiserver();
    let mut components = Components::new(&cluster);
    let data = |file: &str| text(&cluster.data.join(file)).to_owned();
    let scheduler = ["scheduler".to_owned(), format!("--kubeconfig={}", data("scheduler.kubeconfig"))];
    let _scheduler = components.start("scheduler", &binary(), &scheduler);
    let mut controllers = kubeconfigs(&data("controller-manager.kubeconfig"));
    controllers.extend([
        "--secure-port=0".to_owned(),
        // The stock one does nothing before it has listed DaemonSets (`NewNodeLifecycleController` takes their informer, `Run`
        // waits for it), which our API server does not serve yet: ours is run instead, below.
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
    let mut controllers =
        components.start("kube-controller-manager", &stock("kube-controller-manager"), &controllers);
    // What upstream leaves to others: who lets kubelets have serving certificates, and the endpoints of our DNS.
    let own = [
        "controller-manager".to_owned(),
        format!("--kubeconfig={}", data("controller-manager.kubeconfig")),
        "--use-service-account-credentials".to_owned(),
        "--controllers=kubelet-serving-certificate-approving-controller,dns-endpoints-controller,\
         node-lifecycle-controller"
            .to_owned(),
        "--leader-elect-resource-name=coxswain-controllers".to_owned(),
        "--secure-port=0".to_owned(),
    ];
    let _own = components.start("controllers", &binary(), &own);

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
    let _standing_by = components.start("standing-by", &binary(), &standing_by);
    let other = |cluster: &Cluster| {
        Some(lease_holder(cluster, "kube-controller-manager")).filter(|now| *now != holder)
    };
    assert_eq!(other(&cluster), None, "a lease that is held is left alone");
    // It handles no signal as long as `ControllerManagerReleaseLeaderElectionLockOnExit` is off, which is upstream's default.
    assert_eq!(controllers.stop().signal(), Some(Signal::SIGTERM as i32));
    eventually("ours leads", || other(&cluster).filter(|now| !now.is_empty()));
    cluster.ok(&["scale", "deployment/web", "-n", "shop", "--replicas=3"]);
    cluster.ok(&["rollout", "status", "deployment/web", "-n", "shop", "--timeout=120s"]);

    remove_all(&cluster);
    let not_served = NOT_SERVED.map(|kind| format!("failed to list *{kind}: the server could not find"));
    let expected = not_served.iter().map(String::as_str).chain(EXPECTED_OF_CONTROLLERS);
    controllers.logged_no_errors_but(&expected.collect::<Vec<_>>());
    components.forget();
}

/// What stock kube-scheduler is told: it leaves out the plugins that need kinds which our API server does not serve.
const SCHEDULER: &str = "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: true}
profiles:
- plugins:
    multiPoint:
      disabled:
      - {name: VolumeBinding}
      - {name: VolumeRestrictions}
      - {name: VolumeZone}
      - {name: NodeVolumeLimits}
      - {name: PodTopologySpread}
      - {name: DefaultPreemption}
";

/// A node that the test plays.
fn play_node(cluster: &Cluster, name: &str, spec: &str) {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{disk: {name}}}}}\nspec: {spec}\n"
    ));
    let ready = r#"{"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Played"}],
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "20"}, "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"}}}"#;
    cluster.ok(&["patch", "node", name, "--subresource=status", "-p", ready]);
    // Nobody says that it is alive: what follows from that is not this test's.
    let taint = ["get", "node", name, "-o", "jsonpath={.spec.taints[*].key}"];
    cluster
        .until("the new node is found well", &taint, |keys| !keys.contains("node.kubernetes.io/not-ready"));
}

/// A pod that asks for a node by label, with tolerations.
fn asking(name: &str, disk: &str, cpu: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec:
  affinity: {{nodeAffinity: {{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: [
    {{matchExpressions: [{{key: disk, operator: In, values: [{disk}]}}]}}]}}}}}}
  containers: [{{name: c, image: example.test/c:v1, resources: {{requests: {{cpu: '{cpu}'}}}}}}]
"
    )
}

#[test]
#[ignore = "needs stock components: conformance/mixed builds them and runs this"]
fn stock_kube_scheduler_schedules_at_our_api_server() {
    let cluster = Cluster::apiserver();
    let mut components = Components::new(&cluster);
    let data = |file: &str| text(&cluster.data.join(file)).to_owned();
    let own = [
        "controller-manager".to_owned(),
        format!("--kubeconfig={}", data("controller-manager.kubeconfig")),
        "--use-service-account-credentials".to_owned(),
        "--secure-port=0".to_owned(),
        "--node-monitor-grace-period=1h".to_owned(),
    ];
    let _controllers = components.start("controllers", &binary(), &own);
    fs::write(cluster.data.join("scheduler.yaml"), SCHEDULER).unwrap();
    let mut arguments = kubeconfigs(&data("scheduler.kubeconfig"));
    // Where a file is given its clientConnection counts, and that flag does not.
    arguments.remove(0);
    let config = fs::read_to_string(cluster.data.join("scheduler.yaml")).unwrap();
    let connection = format!("clientConnection: {{kubeconfig: {}}}\n", data("scheduler.kubeconfig"));
    fs::write(cluster.data.join("scheduler.yaml"), config + &connection).unwrap();
    arguments.push(format!("--config={}", data("scheduler.yaml")));
    let mut scheduler = components.start("kube-scheduler", &stock("kube-scheduler"), &arguments);

    make_namespace(&cluster);
    play_node(&cluster, "fast", "{}");
    play_node(&cluster, "slow", "{taints: [{key: slow, effect: NoSchedule}]}");
    cluster.apply(&web("example.test/web:v1"));
    let nodes = ["get", "pods", "-n", "shop", "-l", "app=web", "-o", "jsonpath={.items[*].spec.nodeName}"];
    cluster.until("both pods are on the node without a taint", &nodes, |nodes| nodes == "fast fast");

    cluster.apply(&asking("by-label", "fast", "1"));
    let node = ["get", "pod", "by-label", "-n", "shop", "-o", "jsonpath={.spec.nodeName}"];
    cluster.until("the pod is on the node that it asks for", &node, |node| node == "fast");

    cluster.apply(&asking("tainted-out", "slow", "1"));
    cluster.apply(&asking("too-big", "fast", "100"));
    let condition = |pod| {
        let path =
            "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason} {.status.conditions[*].message}";
        ["get", "pod", pod, "-n", "shop", "-o", path]
    };
    cluster.until("the taint is what keeps it out", &condition("tainted-out"), |said| {
        said.starts_with("Unschedulable")
            && said.contains("untolerated taint")
            && said.contains("node affinity")
    });
    cluster.until("the size is what keeps it out", &condition("too-big"), |said| {
        said.contains("Insufficient cpu")
    });
    let failures = "--field-selector=reason=FailedScheduling,involvedObject.name=too-big";
    let events = ["get", "events", "-n", "shop", failures, "-o", "jsonpath={.items[*].reportingComponent}"];
    cluster.until("an event says so", &events, |reporter| reporter.contains("default-scheduler"));

    cluster.ok(&["taint", "node", "slow", "slow-"]);
    let node = ["get", "pod", "tainted-out", "-n", "shop", "-o", "jsonpath={.spec.nodeName}"];
    cluster.until("it is scheduled once the taint is gone", &node, |node| node == "slow");
    assert!(!lease_holder(&cluster, "kube-scheduler").is_empty());

    assert!(scheduler.stop().success());
    scheduler.logged_no_errors_but(&EXPECTED_OF_SCHEDULER);
    components.forget();
}
