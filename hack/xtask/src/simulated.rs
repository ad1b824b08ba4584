//! Figures of a control plane with 100 nodes and 1,000 pods: time to bind and to run them all, then idle CPU and memory.
//!
//! The nodes are kwok's (`hack/kwok`): they renew their leases every 10 s, tell their status every 5 minutes and say of each
//! pod that it runs, as kubelets do; but one process with one watch of each kind plays them all.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::cluster::{Cluster, Ends, client, until};
use crate::node::is_ready;
use crate::process;

const NODES: usize = 100;
const DEPLOYMENTS: usize = 10;
const PODS: usize = 1_000;
const AT_ONCE: usize = 16;
/// Which nodes are kwok's, and the same as its option.
const PLAYED: &str = "kwok.x-k8s.io/node";
/// Work that the pods' start left behind, and the first heartbeats, are over by then.
const SETTLE: Duration = Duration::from_secs(30);

pub(crate) fn measure(idle_seconds: u64, kwok: &Path) -> anyhow::Result<()> {
    let cluster = Cluster::control_plane()?;
    let (kubeconfig, server) = (cluster.kubeconfig(), cluster.server.id());
    cluster.machine.run(move || make_nodes(kubeconfig))?;
    let player = cluster
        .machine
        .command(&kwok.join("kwok"))
        .arg("--config")
        .arg(kwok.join("stages.yaml"))
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .args(["--manage-all-nodes=false", "--node-lease-duration-seconds=40"])
        .arg(format!("--manage-nodes-with-annotation-selector={PLAYED}=fake"))
        .spawn();
    let _player = Ends(player.with_context(|| format!("cannot run kwok in {}", kwok.display()))?);
    let kubeconfig = cluster.kubeconfig();
    cluster.machine.run(move || wait_for_nodes(kubeconfig))?;

    let (kubeconfig, before) = (cluster.kubeconfig(), process::cpu(server)?);
    let (bound, running) = cluster.machine.run(move || start_pods(kubeconfig))?;
    let used = process::cpu(server)? - before;
    println!(
        "| {PODS} pods of {DEPLOYMENTS} Deployments on {NODES} simulated nodes: all bound | {bound:.1?} |"
    );
    println!("| … all Running | {running:.1?}, {used:.1?} of CPU |");

    std::thread::sleep(SETTLE);
    let before = process::cpu(server)?;
    std::thread::sleep(Duration::from_secs(idle_seconds));
    let used = process::cpu(server)? - before;
    let share = used.as_secs_f64() / idle_seconds as f64 * 100.0;
    println!("| … then idle CPU of the control plane over {idle_seconds} s | {share:.2}% of one core |");
    println!("| … memory of the control plane | {:.1} MiB |", process::resident_kib(server)? as f64 / 1024.0);
    Ok(())
}

async fn make_nodes(kubeconfig: std::path::PathBuf) -> anyhow::Result<()> {
    until("a kubeconfig", || std::future::ready(kubeconfig.exists())).await?;
    let nodes = Api::<Node>::all(client(&kubeconfig).await?);
    until("the API", || async { nodes.list(&ListParams::default()).await.is_ok() }).await?;
    for number in 0..NODES {
        let name = format!("simulated-{number:03}");
        let capacity = json!({"cpu": "8", "memory": "32Gi", "pods": "110"});
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": {PLAYED: "fake"}, "labels": {"kubernetes.io/hostname": name}},
            "status": {"capacity": capacity, "allocatable": capacity},
        }))?;
        nodes.create(&PostParams::default(), &node).await?;
    }
    Ok(())
}

async fn wait_for_nodes(kubeconfig: std::path::PathBuf) -> anyhow::Result<()> {
    let nodes = Api::<Node>::all(client(&kubeconfig).await?);
    let open = |node: &Node| is_ready(node) && node.spec.as_ref().is_none_or(|spec| spec.taints.is_none());
    until("the simulated nodes Ready", || async {
        nodes
            .list(&ListParams::default())
            .await
            .is_ok_and(|all| all.iter().filter(|node| open(node)).count() == NODES)
    })
    .await
}

/// Until all pods were bound, and until all ran, from the first request on.
async fn start_pods(kubeconfig: std::path::PathBuf) -> anyhow::Result<(Duration, Duration)> {
    let client = client(&kubeconfig).await?;
    let watching = watch_pods(client.clone());
    let started = Instant::now();
    let making = make_deployments(client);
    let ((bound, running), ()) = tokio::try_join!(watching, making)?;
    Ok((bound - started, running - started))
}

async fn make_deployments(client: Client) -> anyhow::Result<()> {
    let api = Api::<Deployment>::default_namespaced(client);
    let make = |number| {
        let (api, name) = (api.clone(), format!("bench-{number}"));
        async move {
            let deployment: Deployment = serde_json::from_value(json!({
                "metadata": {"name": name},
                "spec": {
                    "replicas": PODS / DEPLOYMENTS,
                    "selector": {"matchLabels": {"app": name}},
                    "template": {
                        "metadata": {"labels": {"app": name}},
                        "spec": {"containers": [{"name": "main", "image": "coxswain.test/bench:v1",
                            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}]},
                    },
                },
            }))?;
            api.create(&PostParams::default(), &deployment).await.map(drop).map_err(anyhow::Error::from)
        }
    };
    stream::iter(0..DEPLOYMENTS).map(make).buffer_unordered(AT_ONCE).try_collect().await
}

/// When the last pod was seen bound, and when the last was seen running.
async fn watch_pods(client: Client) -> anyhow::Result<(Instant, Instant)> {
    let api = Api::<Pod>::default_namespaced(client);
    let from = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
    let mut events = std::pin::pin!(api.watch(&WatchParams::default(), &from).await?);
    let (mut bound, mut running) = (BTreeSet::new(), BTreeSet::new());
    let mut all_bound = None;
    loop {
        let pod = match events.next().await {
            Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod))) => pod,
            Some(Ok(_)) => continue,
            other => anyhow::bail!("the watch of pods ended: {other:?}"),
        };
        let name = pod.metadata.name.unwrap_or_default();
        if pod.spec.is_some_and(|spec| spec.node_name.is_some()) {
            bound.insert(name.clone());
        }
        if pod.status.and_then(|status| status.phase).as_deref() == Some("Running") {
            running.insert(name);
        }
        if bound.len() == PODS {
            all_bound.get_or_insert_with(Instant::now);
        }
        if let (Some(all_bound), true) = (all_bound, running.len() == PODS) {
            return Ok((all_bound, Instant::now()));
        }
    }
}
