//! `kill -9` of the server at any moment, and clean restarts: workloads go on, nothing acknowledged is missing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cluster::{Cluster, eventually};
use crate::deployment::web;
use crate::rolling_update::{address_of, requests_until};

const CONTAINERS: &str = "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} \
                          {.status.containerStatuses[0].restartCount}{\"\\n\"}{end}";

#[test]
fn killed_twenty_times_under_write_load_it_loses_nothing_and_restarts_no_workload() {
    let mut cluster = Cluster::start();
    cluster.apply(&web(2, "v1"));
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let containers = |cluster: &Cluster| cluster.ok(&["get", "pods", "-l", "app=web", "-o", CONTAINERS]);
    let before = containers(&cluster);
    let service = address_of(&cluster, "web");
    let stop = Arc::new(AtomicBool::new(false));
    let looping = cluster.host.run({
        let stop = stop.clone();
        move || requests_until(stop, service)
    });

    let mut acknowledged = BTreeSet::new();
    for round in 0..20 {
        let writer = write_until_refused(&cluster, round);
        let first = eventually("a write is acknowledged", || {
            let name = format!("probe-{round}");
            cluster.kubectl(&["create", "configmap", &name]).status.success().then_some(name)
        });
        acknowledged.insert(first);
        cluster.kill_server();
        acknowledged.extend(writer.join().unwrap());
        cluster.start_server();
        let present: BTreeSet<String> = cluster
            .ok(&["get", "configmaps", "-o", "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}"])
            .lines()
            .map(str::to_owned)
            .collect();
        let lost: Vec<&String> = acknowledged.difference(&present).collect();
        assert!(lost.is_empty(), "lost in round {round}: {lost:?}");
    }
    cluster.wait_until_ready();
    cluster.ok(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    stop.store(true, Ordering::Relaxed);
    let seen = looping.join().unwrap();
    assert_eq!(seen.failures, Vec::<String>::new(), "of {} requests", seen.answers);
    assert_eq!(containers(&cluster), before);

    cluster.stop_server();
    cluster.start_server();
    cluster.wait_until_ready();
    assert_eq!(containers(&cluster), before, "after a clean restart");
}

/// Creates config maps through one kubectl each until the server is gone; returns those that were acknowledged.
fn write_until_refused(cluster: &Cluster, round: u32) -> std::thread::JoinHandle<Vec<String>> {
    let kubeconfig = cluster.kubeconfig();
    cluster.host.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(crate::kube_rs::create_until_refused(&kubeconfig, &format!("load-{round}")))
    })
}

#[test]
fn exit_codes_of_containers_that_ended_meanwhile_are_reported() {
    let mut cluster = Cluster::start();
    let image = crate::images::image("web:v1");
    cluster.ok(&[
        "run",
        "brief",
        &format!("--image={image}"),
        "--restart=Never",
        "--",
        "sh",
        "-c",
        "sleep 3; exit 7",
    ]);
    cluster.ok(&["wait", "--for=jsonpath={.status.phase}=Running", "pod/brief", "--timeout=60s"]);
    cluster.kill_server();
    std::thread::sleep(std::time::Duration::from_secs(4));
    cluster.start_server();
    let code = eventually("its exit code is reported", || {
        let code = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
        Some(cluster.ok(&["get", "pod", "brief", "-o", code])).filter(|code| !code.is_empty())
    });
    assert_eq!(code, "7");
    assert_eq!(cluster.ok(&["get", "pod", "brief", "-o", "jsonpath={.status.phase}"]), "Failed");
}
