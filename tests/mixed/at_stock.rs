//! Our components at stock kube-apiserver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Component, Kubectl, lease_holder, make_namespace, remove_all, until_reached, web};
use crate::cluster::{binary, eventually, scratch, text};
use crate::host::{ADDRESS, Host, both};

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
        let ended = self.programs.stop();
        // 1 is what the script ends with when one of the programs has ended by itself.
        assert!(ended.code() != Some(1) || std::thread::panicking(), "{ended}");
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
    let mut controllers = start(
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
    let mut scheduler = start("scheduler.log", &["scheduler", "--kubeconfig", &file("scheduler.kubeconfig")]);

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
    for component in [&mut controllers, &mut scheduler] {
        assert!(component.stop().success());
        component.logged_no_errors_but(&[]);
    }
    let described = both(&api.command().args(["get", "events", "-A"]).output().unwrap());
    assert!(described.contains("LeaderElection"), "{described}");
    fs::remove_dir_all(logs.parent().unwrap()).unwrap();
}
