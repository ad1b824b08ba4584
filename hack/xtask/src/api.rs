//! Figures of the API server: server CPU per operation, under 64 clients over TLS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};

use crate::cluster::{Cluster, client, until};
use crate::process;

const CLIENTS: usize = 64;
const WATCHERS: usize = 20;
/// Lists that are read one after the other; the mean counts.
const LISTS: u32 = 10;

pub(crate) fn measure(objects: usize) -> anyhow::Result<()> {
    let cluster = Cluster::start(None)?;
    let server = cluster.server.id();
    cluster.run(move |kubeconfig| load(kubeconfig, server, objects))
}

async fn load(kubeconfig: PathBuf, server: u32, objects: usize) -> anyhow::Result<()> {
    until("a kubeconfig", || std::future::ready(kubeconfig.exists())).await?;
    let clients = connect(&kubeconfig).await?;
    until("the namespace", || async { clients[0].list(&ListParams::default()).await.is_ok() }).await?;

    per_operation("create of a 1 KiB config map", server, objects, |number| {
        let api = clients[number % CLIENTS].clone();
        async move { api.create(&PostParams::default(), &config_map(number)).await.map(drop) }
    })
    .await?;
    per_operation("get", server, objects, |number| {
        let api = clients[number % CLIENTS].clone();
        async move { api.get(&name(number)).await.map(drop) }
    })
    .await?;
    per_operation("merge patch", server, objects, |number| {
        let api = clients[number % CLIENTS].clone();
        let patch = Patch::Merge(serde_json::json!({"data": {"changed": "yes"}}));
        async move { api.patch(&name(number), &PatchParams::default(), &patch).await.map(drop) }
    })
    .await?;
    lists(&kubeconfig, server, objects).await?;
    events(&kubeconfig, &clients, server).await
}

/// 64 connections, as 64 clients would have.
async fn connect(kubeconfig: &Path) -> anyhow::Result<Vec<Api<ConfigMap>>> {
    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        clients.push(Api::default_namespaced(client(kubeconfig).await?));
    }
    Ok(clients)
}

async fn per_operation<F>(
    what: &str,
    server: u32,
    count: usize,
    operation: impl Fn(usize) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = kube::Result<()>>,
{
    let (cpu, clock) = (process::cpu(server)?, std::time::Instant::now());
    let mut running = stream::iter(0..count).map(&operation).buffer_unordered(CLIENTS);
    while let Some(outcome) = running.next().await {
        outcome?;
    }
    let (used, elapsed) = (process::cpu(server)? - cpu, clock.elapsed());
    let rate = count as f64 / elapsed.as_secs_f64();
    println!("| server CPU per {what} | {:.0} µs ({rate:.0}/s) |", micros(used) / count as f64);
    Ok(())
}

/// Lists are read as raw bytes: the client's decoding would take the machine from the server.
async fn lists(kubeconfig: &Path, server: u32, objects: usize) -> anyhow::Result<()> {
    let client: Client = client(kubeconfig).await?;
    let before = process::cpu(server)?;
    let mut size = 0;
    for _ in 0..LISTS {
        let request = http::Request::get("/api/v1/namespaces/default/configmaps").body(Vec::new())?;
        size = client.request_text(request).await?.len();
    }
    let used = (process::cpu(server)? - before) / LISTS;
    println!("| server CPU of a LIST of {objects} ({:.1} MB) | {used:.1?} |", size as f64 / 1e6);
    Ok(())
}

async fn events(kubeconfig: &Path, writers: &[Api<ConfigMap>], server: u32) -> anyhow::Result<()> {
    const WRITES: usize = 2_000;
    let patch = |round: &str| Patch::Merge(serde_json::json!({"data": {"round": round}}));
    let write = async |round: &str| -> anyhow::Result<Duration> {
        let before = process::cpu(server)?;
        let mut running = stream::iter(0..WRITES)
            .map(|number| {
                let (api, patch) = (writers[number % CLIENTS].clone(), patch(round));
                async move { api.patch(&name(number), &PatchParams::default(), &patch).await.map(drop) }
            })
            .buffer_unordered(CLIENTS);
        while let Some(outcome) = running.next().await {
            outcome?;
        }
        Ok(process::cpu(server)? - before)
    };
    let without = write("alone").await?;
    let api = Api::<ConfigMap>::default_namespaced(client(kubeconfig).await?);
    let from = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
    let mut watching = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let api = Api::<ConfigMap>::default_namespaced(client(kubeconfig).await?);
        let from = from.clone();
        watching.spawn(async move {
            let mut events = std::pin::pin!(api.watch(&WatchParams::default(), &from).await?);
            let mut seen = 0;
            while seen < WRITES {
                match events.next().await {
                    Some(Ok(WatchEvent::Modified(_))) => seen += 1,
                    Some(Ok(_)) => {}
                    other => anyhow::bail!("the watch ended: {other:?}"),
                }
            }
            Ok(())
        });
    }
    let with = async {
        let before = process::cpu(server)?;
        write("watched").await?;
        while let Some(ended) = watching.join_next().await {
            ended??;
        }
        anyhow::Ok(process::cpu(server)? - before)
    };
    let with = with.await?;
    let per_event = (micros(with) - micros(without)) / (WRITES * WATCHERS) as f64;
    println!("| server CPU per event to a watcher ({WATCHERS} watchers) | {per_event:.1} µs |");
    Ok(())
}

fn config_map(number: usize) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name(number)), ..Default::default() },
        data: Some(BTreeMap::from([("payload".to_owned(), "x".repeat(1024))])),
        ..Default::default()
    }
}

fn name(number: usize) -> String {
    format!("bench-{number:06}")
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
