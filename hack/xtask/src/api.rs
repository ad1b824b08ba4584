//! Figures of the API server: server CPU per operation, under 64 clients over TLS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};

use crate::cluster::{Cluster, Machine, Stock, client, until};
use crate::process;

const CLIENTS: usize = 64;
const WATCHERS: usize = 20;
/// Lists that are read one after the other; the mean counts.
const LISTS: u32 = 10;

/// A figure: what was done, and the CPU that the servers used for one of it.
type Figure = (String, Duration);

/// What is under load: its processes, and how to reach it.
#[derive(Clone)]
struct Target {
    kubeconfig: PathBuf,
    servers: Vec<u32>,
}

impl Target {
    /// CPU that all its processes have used so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        self.servers.iter().map(|pid| process::cpu(*pid)).sum()
    }
}

/// Prints the figures of ours and, where asked, of stock's API server with its etcd under the same load.
pub(crate) fn measure(objects: usize, with_stock: bool) -> anyhow::Result<()> {
    let ours = ours(objects)?;
    let stock = if with_stock { Some(stock(objects)?) } else { None };
    for (place, (what, cost)) in ours.iter().enumerate() {
        let beside = stock.as_ref().map(|stock| stock[place].1);
        let beside = beside.map_or_else(String::new, |stock| {
            format!(" {stock:.1?} | {:.1} |", stock.as_secs_f64() / cost.as_secs_f64())
        });
        println!("| server CPU {what} | {cost:.1?} |{beside}");
    }
    Ok(())
}

fn ours(objects: usize) -> anyhow::Result<Vec<Figure>> {
    let cluster = Cluster::start(None)?;
    let target = Target { kubeconfig: cluster.kubeconfig(), servers: vec![cluster.server.id()] };
    wait_for(&cluster.machine, &target)?;
    cluster.machine.run(move || load(target, objects))
}

fn stock(objects: usize) -> anyhow::Result<Vec<Figure>> {
    let stock = Stock::start()?;
    let mut target = Target { kubeconfig: stock.kubeconfig(), servers: Vec::new() };
    wait_for(&stock.machine, &target)?;
    target.servers = stock.servers()?;
    anyhow::ensure!(target.servers.len() == 2, "stock's API server and etcd do not both run");
    stock.machine.run(move || load(target, objects))
}

fn wait_for(machine: &Machine, target: &Target) -> anyhow::Result<()> {
    let kubeconfig = target.kubeconfig.clone();
    machine.run(move || async move {
        until("a kubeconfig", || std::future::ready(kubeconfig.exists())).await?;
        let api = Api::<ConfigMap>::default_namespaced(client(&kubeconfig).await?);
        until("the namespace", || async { api.list(&ListParams::default()).await.is_ok() }).await
    })
}

async fn load(target: Target, objects: usize) -> anyhow::Result<Vec<Figure>> {
    let clients = connect(&target.kubeconfig).await?;
    let create = per_operation("per create of a 1 KiB config map", &target, objects, |number| {
        let api = clients[number % CLIENTS].clone();
        async move { api.create(&PostParams::default(), &config_map(number)).await.map(drop) }
    })
    .await?;
    let get = per_operation("per get", &target, objects, |number| {
        let api = clients[number % CLIENTS].clone();
        async move { api.get(&name(number)).await.map(drop) }
    })
    .await?;
    let patch = per_operation("per merge patch", &target, objects, |number| {
        let api = clients[number % CLIENTS].clone();
        let patch = Patch::Merge(serde_json::json!({"data": {"changed": "yes"}}));
        async move { api.patch(&name(number), &PatchParams::default(), &patch).await.map(drop) }
    })
    .await?;
    Ok(vec![create, get, patch, lists(&target, objects).await?, events(&target, &clients).await?])
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
    target: &Target,
    count: usize,
    operation: impl Fn(usize) -> F,
) -> anyhow::Result<Figure>
where
    F: Future<Output = kube::Result<()>>,
{
    let before = target.cpu()?;
    let mut running = stream::iter(0..count).map(&operation).buffer_unordered(CLIENTS);
    while let Some(outcome) = running.next().await {
        outcome?;
    }
    let used = target.cpu()? - before;
    Ok((what.to_owned(), used.div_f64(count as f64)))
}

/// Lists are read as raw bytes: the client's decoding would take the machine from the server.
async fn lists(target: &Target, objects: usize) -> anyhow::Result<Figure> {
    let client: Client = client(&target.kubeconfig).await?;
    let before = target.cpu()?;
    for _ in 0..LISTS {
        let request = http::Request::get("/api/v1/namespaces/default/configmaps").body(Vec::new())?;
        client.request_text(request).await?;
    }
    Ok((format!("of a LIST of {objects}"), (target.cpu()? - before) / LISTS))
}

async fn events(target: &Target, writers: &[Api<ConfigMap>]) -> anyhow::Result<Figure> {
    const WRITES: usize = 2_000;
    let patch = |round: &str| Patch::Merge(serde_json::json!({"data": {"round": round}}));
    let write = async |round: &str| -> anyhow::Result<Duration> {
        let before = target.cpu()?;
        let mut running = stream::iter(0..WRITES)
            .map(|number| {
                let (api, patch) = (writers[number % CLIENTS].clone(), patch(round));
                async move { api.patch(&name(number), &PatchParams::default(), &patch).await.map(drop) }
            })
            .buffer_unordered(CLIENTS);
        while let Some(outcome) = running.next().await {
            outcome?;
        }
        Ok(target.cpu()? - before)
    };
    let without = write("alone").await?;
    let api = Api::<ConfigMap>::default_namespaced(client(&target.kubeconfig).await?);
    let from = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
    let mut watching = tokio::task::JoinSet::new();
    for _ in 0..WATCHERS {
        let api = Api::<ConfigMap>::default_namespaced(client(&target.kubeconfig).await?);
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
        let before = target.cpu()?;
        write("watched").await?;
        while let Some(ended) = watching.join_next().await {
            ended??;
        }
        anyhow::Ok(target.cpu()? - before)
    };
    let with = with.await?;
    let per_event = with.saturating_sub(without).div_f64((WRITES * WATCHERS) as f64);
    Ok((format!("per event to a watcher ({WATCHERS} watchers)"), per_event))
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
