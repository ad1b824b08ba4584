//! Figures of a node: start, pods, memory, idle CPU.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::cluster::{Cluster, client, until};
use crate::process;

/// How often a pod is started; the median counts.
const PODS: usize = 20;
/// The image that `hack/bench` expects in the archive.
const IMAGE: &str = "coxswain.test/bench:v1";
const COMMAND: [&str; 2] = ["sleep", "3600"];

pub(crate) fn measure(idle_seconds: u64, image: Option<&Path>) -> anyhow::Result<()> {
    let cluster = Cluster::start(image)?;
    let started = cluster.started;
    let kubeconfig = cluster.kubeconfig();
    let (ready, node_ready) = cluster.machine.run(move || start(kubeconfig, started))?;
    println!("| start to `/readyz` ok, empty data directory | {ready:.0?} |");
    println!("| … to node Ready | {node_ready:.0?} |");

    // What the start left behind settles before anything idle is measured.
    std::thread::sleep(Duration::from_secs(10));
    let server = cluster.server.id();
    let before = process::cpu(server)?;
    std::thread::sleep(Duration::from_secs(idle_seconds));
    let used = process::cpu(server)? - before;
    let share = used.as_secs_f64() / idle_seconds as f64 * 100.0;
    println!("| idle CPU over {idle_seconds} s | {share:.2}% of one core |");
    println!("| idle memory, no user pods | {:.1} MiB |", process::resident_kib(server)? as f64 / 1024.0);

    if image.is_some() {
        let kubeconfig = cluster.kubeconfig();
        for (what, maker) in [("`kubectl run`", Maker::Kubectl), ("create", Maker::Client)] {
            let kubeconfig = kubeconfig.clone();
            let times = cluster.machine.run(move || pods(kubeconfig, maker))?;
            let median = times[PODS / 2];
            println!("| {what} of a pod with a present image → Running, median of {PODS} | {median:.0?} |");
        }
        let data = cluster.data.display().to_string();
        let shims = process::naming(&data)?.into_iter().filter(|pid| *pid != server);
        let sizes: Vec<u64> = shims.filter_map(|pid| process::resident_kib(pid).ok()).collect();
        let largest = sizes.iter().max().copied().unwrap_or_default();
        println!("| shim per pod, largest of {} | {:.2} MiB |", sizes.len(), largest as f64 / 1024.0);
    }
    Ok(())
}

async fn start(kubeconfig: PathBuf, started: Instant) -> anyhow::Result<(Duration, Duration)> {
    until("a kubeconfig", || std::future::ready(kubeconfig.exists())).await?;
    let client = client(&kubeconfig).await?;
    let readyz = || async {
        let request = http::Request::get("/readyz").body(Vec::new()).expect("a plain request");
        client.request_text(request).await.is_ok_and(|answer| answer == "ok")
    };
    until("/readyz", readyz).await?;
    let ready = started.elapsed();
    let nodes = Api::<Node>::all(client.clone());
    until("the node Ready", || async { nodes.get("bench").await.is_ok_and(|node| is_ready(&node)) }).await?;
    Ok((ready, started.elapsed()))
}

/// Whether the node says that it is ready.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Who makes the pods.
#[derive(Clone, Copy)]
enum Maker {
    /// This program, with one request.
    Client,
    /// A stock kubectl, with a process of its own, as a user does it.
    Kubectl,
}

/// From the order to Running, of pods one after another.
async fn pods(kubeconfig: PathBuf, maker: Maker) -> anyhow::Result<Vec<Duration>> {
    let api = Api::<Pod>::default_namespaced(client(&kubeconfig).await?);
    let mut times = Vec::with_capacity(PODS);
    for number in 0..PODS {
        let ordered = Instant::now();
        let name = match maker {
            Maker::Client => create(&api, number).await?,
            Maker::Kubectl => kubectl_run(&kubeconfig, number)?,
        };
        until("the pod Running", || async {
            api.get(&name)
                .await
                .is_ok_and(|pod| pod.status.and_then(|s| s.phase).as_deref() == Some("Running"))
        })
        .await?;
        times.push(ordered.elapsed());
        // The last one stays, so that a shim can be looked at.
        if number + 1 < PODS {
            api.delete(&name, &DeleteParams::default().grace_period(1)).await?;
            until("the pod gone", || async { api.get_opt(&name).await.is_ok_and(|pod| pod.is_none()) })
                .await?;
        }
    }
    times.sort();
    Ok(times)
}

async fn create(api: &Api<Pod>, number: usize) -> anyhow::Result<String> {
    let name = format!("created-{number}");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": COMMAND}]},
    }))?;
    api.create(&PostParams::default(), &pod).await?;
    Ok(name)
}

fn kubectl_run(kubeconfig: &Path, number: usize) -> anyhow::Result<String> {
    let name = format!("run-{number}");
    let output = Command::new("kubectl")
        .env("KUBECONFIG", kubeconfig)
        .args(["run", &name, &format!("--image={IMAGE}"), "--image-pull-policy=Never", "--command", "--"])
        .args(COMMAND)
        .output()?;
    ensure!(output.status.success(), "kubectl run: {}", String::from_utf8_lossy(&output.stderr));
    Ok(name)
}
