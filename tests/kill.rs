//! `kill -9` of the server at any moment, and clean restarts: workloads go on, nothing acknowledged is missing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cluster::{Cluster, eventually, processes_naming, text};
use crate::deployment::web;
use crate::images::image;
use crate::load::Load;
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

    let mut load = Load::of(&cluster);
    let first = newest_journal(&cluster);
    for round in 0..rounds {
        // Under load, at another point of it each time: while the next writes are on their way.
        let running = load.start(&cluster, if round % 4 == 3 { LARGE } else { 100 });
        running.until_acknowledged(5 + (round as usize * 37) % 100);
        cluster.kill_server();
        let refusals = running.stop();
        assert_eq!(refusals, Vec::<String>::new(), "the server itself refused writes in round {round}");
        cluster.start_server();
        load.judge(&cluster);
    }
    let files = newest_journal(&cluster) - first;
    assert!(files >= u64::from(rounds / 8), "{files} new files of the journal in {rounds} rounds");
    load.conclude(&cluster);
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

/// Bytes of an object of which a few dozen fill a file of the store's journal.
const LARGE: usize = 200_000;

/// The number of the newest file of the store's journal.
fn newest_journal(cluster: &Cluster) -> u64 {
    let files = std::fs::read_dir(cluster.data.join("store/journal")).unwrap();
    let number = |name: &str| name.strip_suffix(".jnl")?.parse().ok();
    let numbers = files.filter_map(|file| number(file.unwrap().file_name().to_str()?));
    numbers.max().expect("it has a file")
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
