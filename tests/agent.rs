//! A node that joins from another machine: its token, its certificates, its restarts, and all that can be wrong.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::cluster::{Cluster, binary, eventually, processes_naming, scratch, text};
use crate::host::{ADDRESS, OUTSIDE, both, succeed, within};
use crate::images::layout;

/// Where machines reach the cluster's API.
fn server() -> String {
    format!("https://{ADDRESS}:6443")
}

/// An agent on the machine beside the cluster's, with the image that its pods need.
pub(crate) struct Agent {
    namespace: PathBuf,
    data: PathBuf,
    process: Option<Child>,
}

impl Agent {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self { namespace: cluster.host.neighbour(), data: scratch("agent"), process: None }
    }

    /// A command on the agent's machine.
    fn within(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        within(&self.namespace, program)
    }

    /// `coxswain agent` with these arguments, to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.within(binary());
        command.arg("agent").args(arguments).arg("--data-dir").arg(&self.data);
        command
    }

    /// Starts it and lets it run.
    fn start(&mut self, arguments: &[&str]) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let child = self.command(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.process = Some(child);
    }

    pub(crate) fn join(&mut self, cluster: &Cluster) {
        let file = self.data.with_extension("token");
        fs::write(&file, token(cluster, &[])).unwrap();
        self.start(&["--server", &server(), "--token-file", text(&file), "--node-name", "node-2"]);
        wait_until_ready(cluster);
    }

    fn kill(&mut self) {
        let mut process = self.process.take().expect("the agent runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub(crate) fn import_image(&self) {
        let layout = layout(&scratch("archive"), "v1");
        let archive = layout.with_extension("tar");
        succeed(Command::new("skopeo").args(["copy", "--insecure-policy", "--quiet"]).args([
            format!("oci:{}:latest", layout.display()),
            format!("docker-archive:{}:{IMAGE}", archive.display()),
        ]));
        let import = ["image", "import", text(&archive), "--data-dir", text(&self.data)];
        succeed(self.within(binary()).args(import));
    }

    fn log_file(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        if failed {
            eprintln!("the agent's log:\n{}", self.log());
        }
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        let reset = self.within(binary()).args(["reset", "--data-dir"]).arg(&self.data).output();
        fs::remove_dir_all(self.data.parent().unwrap()).ok();
        if !failed {
            let reset = reset.unwrap();
            assert!(reset.status.success(), "{}", both(&reset));
            assert_eq!(processes_naming(text(&self.data)), Vec::<String>::new());
        }
    }
}

/// Waits until the agent's node is Ready.
fn wait_until_ready(cluster: &Cluster) {
    eventually("the agent's node is Ready", || {
        let ready = ["wait", "--for=condition=Ready", "node/node-2", "--timeout=5s"];
        cluster.kubectl(&ready).status.success().then_some(())
    });
}

pub(crate) const IMAGE: &str = "example.test/web:v1";

fn token(cluster: &Cluster, arguments: &[&str]) -> String {
    let printed = cluster.coxswain(&[&["token", "create"], arguments].concat());
    assert!(printed.status.success(), "{}", both(&printed));
    String::from_utf8(printed.stdout).unwrap().trim().to_owned()
}

fn nodes(cluster: &Cluster) -> String {
    cluster.ok(&["get", "nodes", "-o", "name"])
}

#[test]
fn a_node_joins_with_a_token_and_its_pods_outlive_restarts_of_agent_and_server() {
    let mut cluster = Cluster::start();
    let mut agent = Agent::new(&cluster);
    agent.join(&cluster);
    agent.import_image();
    run_a_pod(&cluster);
    let before = cluster.ok(&["get", "pod", "far", "-o", STATE]);

    agent.kill();
    agent.start(&[]);
    eventually("the agent is back", || (agent.log().matches("joined node=").count() == 2).then_some(()));
    wait_until_ready(&cluster);
    assert_eq!(cluster.ok(&["exec", "far", "--", "cat", "/tmp/mark"]).trim(), "mine");
    assert_eq!(cluster.ok(&["get", "pod", "far", "-o", STATE]), before);

    cluster.kill_server();
    cluster.start_server();
    // The agent takes part again: it ends the pod that the API has deleted, and starts another.
    cluster.ok(&["delete", "pod", "far", "--timeout=110s"]);
    run_a_pod(&cluster);

    let refused = both(&agent.run(&[]));
    assert!(refused.contains("in use by process"), "{refused}");
    agent.kill();
    let refused = both(&agent.run(&["--node-name", "other"]));
    assert!(refused.contains("is node node-2 already"), "{refused}");
}

/// Which containers a pod has, and how often they were restarted.
const STATE: &str =
    "jsonpath={.status.containerStatuses[*].containerID} {.status.containerStatuses[*].restartCount}";

/// A pod on the agent's node: it runs, logs, and commands run in it.
fn run_a_pod(cluster: &Cluster) {
    cluster.apply(&format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: far}}
spec:
  nodeName: node-2
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: {IMAGE}
    imagePullPolicy: Never
    command: [sh, -c, 'echo said; echo mine >/tmp/mark; exec sleep 100000']
"
    ));
    cluster.ok(&["wait", "--for=condition=Ready", "pod/far", "--timeout=90s"]);
    eventually("the pod's log", || cluster.ok(&["logs", "far"]).contains("said").then_some(()));
    assert_eq!(cluster.ok(&["exec", "far", "--", "cat", "/tmp/mark"]).trim(), "mine");
    let resolved = cluster.ok(&["exec", "far", "--", "nslookup", "kubernetes.default.svc.cluster.local"]);
    assert!(resolved.contains("10.96.0.1"), "{resolved}");
}

/// Whether the token is there and has expired.
fn is_expired(cluster: &Cluster, id: &str) -> bool {
    let listed = both(&cluster.coxswain(&["token", "list"]));
    listed.lines().any(|line| line.split_whitespace().take(2).eq([id, "expired"]))
}

/// What the API server answers to who comes with a token, and the status code.
fn as_bearer(cluster: &Cluster, token: &str) -> String {
    let (bearer, _) = token.split_once('@').unwrap();
    let (url, header) = (format!("{}/api/v1/nodes/x", server()), format!("Authorization: Bearer {bearer}"));
    let curl = ["-sk", "-w", "%{http_code}", "-H", &header, &url];
    succeed(cluster.host.command("curl").args(curl))
}

#[test]
fn what_is_wrong_is_said_in_one_line_and_nothing_joins() {
    // Without the controller that removes expired tokens: one that is expired must not hold while it is still there, either.
    let cluster = Cluster::start_with(&["--controllers=*,-token-cleaner-controller"]);
    let agent = Agent::new(&cluster);
    let good = token(&cluster, &[]);
    let hash = good.split_once('@').unwrap().1;
    let unknown = format!("zzzzzz.0123456789abcdef@{hash}");
    let other_hash = format!("{}@sha256:{}", good.split_once('@').unwrap().0, "0".repeat(64));
    let expired = token(&cluster, &["--ttl", "1s"]);
    let old = expired.split_once('.').unwrap().0;
    eventually("the token has expired", || is_expired(&cluster, old).then_some(()));
    let refused = as_bearer(&cluster, &expired);
    assert!(refused.contains(r#""message": "Unauthorized""#) && refused.ends_with("401"), "{refused}");
    let accepted = as_bearer(&cluster, &good);
    assert!(!accepted.ends_with("401"), "{accepted}");
    let deleted = token(&cluster, &[]);
    let id = deleted.split_once('.').unwrap().0;
    assert!(both(&cluster.coxswain(&["token", "delete", id])).contains("deleted token"));
    let again = cluster.coxswain(&["token", "delete", id]);
    assert!(both(&again).contains("there is no token") && again.status.code() == Some(1), "{}", both(&again));

    let url = server();
    let with = |token: &str, name: &str| {
        ["--server", &url, "--token", token, "--node-name", name].map(str::to_owned).to_vec()
    };
    for (arguments, expected) in [
        (vec![], "give --server"),
        (vec!["--server".to_owned(), url.clone()], "give --token"),
        (vec!["--server".to_owned(), ADDRESS.to_owned()], "https://<host>:<port>"),
        (
            vec!["--server".to_owned(), url.clone(), "--token-file".to_owned(), "/no/such".to_owned()],
            "/no/such",
        ),
        (with("abc", "x"), "not of the form <id>.<secret>@sha256:<hash>"),
        (with(&unknown, "x"), "does not accept the token zzzzzz"),
        (with(&expired, "x"), "it is wrong, or it has expired or been deleted"),
        (with(&deleted, "x"), "does not accept the token"),
        (with(&other_hash, "x"), "is not of the cluster that the token is for"),
        (with(&good, "node-1"), "a node named node-1 is in the cluster already"),
        (with(&good, "Not_a_name"), "--node-name"),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = agent.run(&arguments);
        let printed = both(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {printed}");
        let lines = printed.trim_end().lines().count();
        assert!(printed.contains(expected) && lines == 1, "{arguments:?}: {printed}");
    }
    assert!(is_expired(&cluster, old), "the expired token was there all the time");
    assert_eq!(nodes(&cluster).trim(), "node/node-1");
    assert_eq!(cluster.ok(&["get", "csr", "-o", "name"]), "", "no certificate was asked for");
}

#[test]
fn an_agent_waits_for_a_server_that_is_away() {
    let mut cluster = Cluster::start();
    let token = token(&cluster, &["--print-join-command"]);
    assert!(token.starts_with(&format!("coxswain agent --server {} --token ", server())), "{token}");
    let token = token.rsplit(' ').next().unwrap().to_owned();
    cluster.stop_server();
    let mut agent = Agent::new(&cluster);
    agent.start(&["--server", &server(), "--token", &token, "--node-name", "node-2"]);
    eventually("the agent says what it waits for", || agent.log().contains("waiting for it").then_some(()));
    cluster.start_server();
    wait_until_ready(&cluster);
}

#[test]
fn certificates_are_renewed_while_everything_runs() {
    let cluster = Cluster::start_with(&["--cluster-signing-duration", "15s"]);
    let mut agent = Agent::new(&cluster);
    agent.join(&cluster);
    agent.import_image();
    let files = ["kubelet-client.pem", "kubelet-serving.pem"].map(|name| agent.data.join("pki").join(name));
    let read = || files.clone().map(|file| fs::read_to_string(file).unwrap_or_default());
    let mut seen = read();
    // After the second change, the certificates that the node came with are past their end.
    for _ in 0..2 {
        eventually("both certificates are new", || {
            let now = read();
            now.iter().zip(&seen).all(|(now, seen)| now != seen).then(|| seen = now)
        });
    }
    run_a_pod(&cluster);
    wait_until_ready(&cluster);
    let requests = cluster.ok(&["get", "csr", "-o", "jsonpath={.items[*].spec.username}"]);
    assert!(requests.contains("system:node:node-2"), "{requests}");
}

#[test]
fn a_nodes_identity_reaches_no_further_than_the_node() {
    let cluster = Cluster::start();
    let mut agent = Agent::new(&cluster);
    agent.join(&cluster);
    let can = |verb: &str, what: &[&str]| {
        let node = ["auth", "can-i", verb, "--as=system:node:node-2", "--as-group=system:nodes"];
        both(&cluster.kubectl(&[&node, what].concat())).contains("yes")
    };
    assert!(can("list", &["endpointslices", "-A"]) && can("watch", &["nodes"]));
    assert!(can("get", &["configmaps/coxswain-config", "-n", "kube-system"]));
    for (verb, what) in [
        ("get", &["secrets", "-n", "kube-system"][..]),
        ("get", &["configmaps/other", "-n", "kube-system"]),
        ("list", &["pods", "-A"]),
        ("delete", &["nodes/node-1"]),
        ("update", &["endpointslices", "-n", "kube-system"]),
        ("approve", &["certificatesigningrequests"]),
    ] {
        assert!(!can(verb, what), "a node may {verb} {what:?}");
    }
    let slices = cluster.ok(&[
        "get",
        "endpointslices",
        "-n",
        "kube-system",
        "-o",
        "jsonpath={.items[*].endpoints[*].addresses[*]}",
    ]);
    assert!(slices.contains(ADDRESS) && slices.contains(OUTSIDE), "{slices}");
}
