//! `kill -9` of the server at any moment, and clean restarts: workloads go on, nothing acknowledged is missing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cluster::{Cluster, eventually, processes_naming, text};
use crate::deployment::web;
use crate::images::image;
use crate::rolling_update::{address_of, requests_until};

const CONTAINERS: &str = "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} \
                          {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}";

#[test]
fn killed_again_and_again_under_write_load_it_loses_nothing_and_restarts_no_workload() {
    // `hack/test --long` asks for more.
    let rounds: u32 = std::env::var("COXSWAIN_KILLS").map_or(20, |text| text.parse().unwrap());
    let mut cluster = Cluster::start();
    cluster.apply(&web(2, "v1"));
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let workload = |cluster: &Cluster| {
        (cluster.ok(&["get", "pods", "-l", "app=web", "-o", CONTAINERS]), processes(cluster))
    };
    let before = workload(&cluster);
    assert_eq!(before.1.len(), 2, "{before:?}");
    let service = address_of(&cluster, "web");
    let stop = Arc::new(AtomicBool::new(false));
    let looping = cluster.host.run({
        let stop = stop.clone();
        move || requests_until(stop, service)
    });

    let mut acknowledged = BTreeSet::new();
    for round in 0..rounds {
        let (writer, written) = write_until_refused(&cluster, round);
        // Under load, at another point of it each time: while the next write is on its way.
        let moment = 5 + (round * 37) % 100;
        for number in 0..moment {
            let name = written.recv_timeout(PATIENCE);
            acknowledged.insert(name.unwrap_or_else(|error| panic!("write {number} of {moment}: {error}")));
        }
        cluster.kill_server();
        let refusal = writer.join().unwrap();
        assert!(!matches!(refusal, kube::Error::Api(_)), "the server itself refused a write: {refusal}");
        acknowledged.extend(written);
        cluster.start_server();
        let present: BTreeSet<String> = cluster
            .ok(&["get", "configmaps", "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}"])
            .lines()
            .map(str::to_owned)
            .collect();
        let lost: Vec<&String> = acknowledged.difference(&present).collect();
        assert!(lost.is_empty(), "lost in round {round}: {lost:?}");
    }
    until_the_node_has_looked(&cluster, "after-kills");
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert_eq!(workload(&cluster), before);

    cluster.stop_server();
    cluster.start_server();
    until_the_node_has_looked(&cluster, "after-restart");
    assert_eq!(workload(&cluster), before, "after a clean restart");
    stop.store(true, Ordering::Relaxed);
    let seen = looping.join().unwrap();
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answers);
}

/// Waits until a new pod runs: what the API tells of the others was written before the restart, and proves nothing until
/// the node has taken up its work again.
fn until_the_node_has_looked(cluster: &Cluster, pod: &str) {
    cluster.wait_until_ready();
    let image = format!("--image={}", image("web:v1"));
    cluster.ok(&["run", pod, &image, "--restart=Never", "--", "sleep", "3600"]);
    cluster.ok(&["wait", "--for=condition=Ready", &format!("pod/{pod}"), "--timeout=120s"]);
}

/// The first processes of the cluster's web servers, as the machine counts them. They fork for every request.
fn processes(cluster: &Cluster) -> BTreeSet<String> {
    let groups = cluster.cgroups();
    let group = text(groups[0].file_name().unwrap().as_ref());
    let is_first = |process: &String| {
        let read = |file| {
            let pid = process.split(' ').next().unwrap();
            std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
        };
        let first = read("status").lines().any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"));
        first && read("cgroup").contains(group)
    };
    processes_naming("httpd -f -p 8080").into_iter().filter(is_first).collect()
}

/// How long a write may take before the test fails; none takes that long in a test that passes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Creates config maps through one client until the server is gone; tells those that were acknowledged at once, and the
/// last error at the end.
fn write_until_refused(cluster: &Cluster, round: u32) -> (JoinHandle<kube::Error>, Receiver<String>) {
    let kubeconfig = cluster.kubeconfig();
    let (acknowledged, written) = channel();
    let writer = cluster.host.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tell = |name| acknowledged.send(name).unwrap();
        runtime.block_on(crate::kube_rs::create_until_refused(&kubeconfig, &format!("load-{round}"), tell))
    });
    (writer, written)
}

#[test]
fn exit_codes_of_containers_that_ended_meanwhile_are_reported() {
    let mut cluster = Cluster::start();
    let told = cluster.data.join("told");
    cluster.apply(&format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: brief}}
spec:
  restartPolicy: Never
  volumes: [{{name: told, hostPath: {{path: {}, type: DirectoryOrCreate}}}}]
  containers:
  - name: main
    image: {}
    command: [sh, -c, "until [ -e /told/end ]; do sleep 0.1; done; exit 7"]
    volumeMounts: [{{name: told, mountPath: /told}}]
"#,
        text(&told),
        image("web:v1"),
    ));
    cluster.ok(&["wait", "--for=jsonpath={.status.phase}=Running", "pod/brief", "--timeout=60s"]);
    let id =
        cluster.ok(&["get", "pod", "brief", "-o", "jsonpath={.status.containerStatuses[0].containerID}"]);
    cluster.kill_server();
    std::fs::write(told.join("end"), "").unwrap();
    let container = cluster.data.join("runtime/containers").join(id.trim_start_matches("coxswain://"));
    eventually("the container has ended without a server", || container.join("exit").exists().then_some(()));
    cluster.start_server();
    let code = eventually("its exit code is reported", || {
        let code = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
        Some(cluster.ok(&["get", "pod", "brief", "-o", code])).filter(|code| !code.is_empty())
    });
    assert_eq!(code, "7");
    assert_eq!(cluster.ok(&["get", "pod", "brief", "-o", "jsonpath={.status.phase}"]), "Failed");
}
