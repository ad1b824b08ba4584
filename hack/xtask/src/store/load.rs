//! Our store in this process, under the load that standard input asks for: a line of JSON, answered by a line. The same as
//! `conformance/etcd/load` does to etcd.

use std::io::{BufRead, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use store::{
    Attributes, CommitError, Item, Key, Options, Peer, Precondition, Range, Store, Value, Watch, Write,
};
use tokio::sync::mpsc;

/// Which store.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory of an embedded store.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Bytes of history that are kept.
    #[arg(long)]
    history_limit: Option<u64>,
    /// PD of a TiKV that the store is in instead.
    #[arg(long)]
    tikv: Option<String>,
    /// What its keys begin with there.
    #[arg(long, default_value = "")]
    prefix: String,
}

/// As `conformance/etcd/load` understands it, too.
#[derive(Deserialize)]
struct Request {
    r#do: String,
    workers: usize,
    seconds: f64,
    operations: i64,
    keys: i64,
    bytes: usize,
    keep: i64,
}

#[derive(Serialize)]
struct Answer {
    operations: usize,
    seconds: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// What a write takes of the history's limit, about: the value, two keys, and what the store adds.
pub(super) fn cost_of_a_write(value: usize) -> u64 {
    value as u64 + 17 + 2 * key(0).as_str().len() as u64 + 128
}

/// Answers until standard input ends.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let store = open(arguments).await?;
        for line in std::io::stdin().lock().lines() {
            let request: Request = serde_json::from_str(&line?)?;
            let answer = answer(&store, request).await?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&answer)?)?;
        }
        store.close().await;
        Ok(())
    })
}

async fn open(arguments: Arguments) -> anyhow::Result<Store> {
    // What an API server extracts from an object without labels.
    let extract = |_: &Key, _: &[u8]| Attributes {
        uid: "00000000-0000-0000-0000-000000000000".into(),
        ..Attributes::default()
    };
    let mut options = Options { extract: Arc::new(extract), ..Options::default() };
    options.history_limit = arguments.history_limit.unwrap_or(options.history_limit);
    match (arguments.directory, arguments.tikv) {
        (Some(directory), None) => Ok(Store::open(store::fjall::open(directory)?, options).await?),
        (None, Some(pd)) => {
            let place = store::tikv::Place { endpoints: vec![pd], prefix: arguments.prefix, tls: None };
            let engine = tokio::task::spawn_blocking(move || store::tikv::open(&place)).await??;
            let loopback = Ipv4Addr::LOCALHOST.into();
            let peer = Peer { bind: (loopback, 0).into(), advertise: loopback };
            Ok(Store::join(engine, options, peer).await?)
        }
        _ => bail!("either a directory or a TiKV"),
    }
}

async fn answer(store: &Store, request: Request) -> anyhow::Result<Answer> {
    let store = store.clone();
    let Request { workers, seconds, operations, keys, bytes, keep, .. } = request;
    let times = Times { workers, seconds, operations };
    match request.r#do.as_str() {
        "write" => times.repeat(move |number| write(store.clone(), number % keys, bytes)).await,
        "first" => {
            let once = Times { workers: 1, operations: 1, ..times };
            once.repeat(move |_| get(store.clone(), keys / 2)).await
        }
        "get" => {
            times.repeat(move |_| get(store.clone(), (rand::random::<u32>() as i64).rem_euclid(keys))).await
        }
        "range" => {
            let range = if keys < 0 {
                Range::namespace("", "configmaps", "ns-3")
            } else {
                Range::resource("", "configmaps")
            };
            times.repeat(move |_| list(store.clone(), range.clone(), keep)).await
        }
        "watch" => watch(&store, times, bytes).await,
        act => bail!("nobody knows how to {act:?}"),
    }
}

async fn write(store: Store, number: i64, bytes: usize) -> anyhow::Result<()> {
    // Random, so that neither side gains by compressing; the store puts the revision between the two.
    let (mut head, mut tail) = (vec![0; bytes / 2], vec![0; bytes - bytes / 2]);
    rand::rng().fill_bytes(&mut head);
    rand::rng().fill_bytes(&mut tail);
    let value = Value::new(head.into(), tail.into());
    loop {
        match store.commit(key(number), Precondition::Any, Write::Put(value.clone())).await {
            Ok(_) => return Ok(()),
            // Several servers share it, and the one that orders the writes has gone: what a client would do.
            Err(CommitError::Unavailable(_) | CommitError::Unknown(_)) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn get(store: Store, number: i64) -> anyhow::Result<()> {
    store.catch_up().await?;
    let entry = store.get(&key(number)).with_context(|| format!("{} is not there", key(number)))?;
    ensure!(!std::hint::black_box(entry).bytes.is_empty(), "an empty object");
    Ok(())
}

async fn list(store: Store, range: Range, expected: i64) -> anyhow::Result<()> {
    store.catch_up().await?;
    let found = store.snapshot(&range);
    let (mut count, mut bytes) = (0, 0);
    for entry in found.iter() {
        count += 1;
        bytes += entry.bytes.len();
    }
    ensure!(count == expected && std::hint::black_box(bytes) > 0, "{count} keys instead of {expected}");
    Ok(())
}

/// Measures from before a write until the last of all watchers has its event.
async fn watch(store: &Store, times: Times, bytes: usize) -> anyhow::Result<Answer> {
    let (seen, mut events) = mpsc::unbounded_channel();
    let mut watching = tokio::task::JoinSet::new();
    for _ in 0..times.workers {
        let watch = store.watch(Range::resource("", "configmaps"), store.revision())?;
        watching.spawn(follow(watch, seen.clone()));
    }
    let mut latencies = Vec::new();
    let began = Instant::now();
    for number in 0..times.operations {
        let before = Instant::now();
        write(store.clone(), number, bytes).await?;
        for _ in 0..times.workers {
            events.recv().await.context("a watch has ended")?;
        }
        latencies.push(before.elapsed());
    }
    Ok(summary(latencies, began.elapsed()))
}

async fn follow(mut watch: Watch, seen: mpsc::UnboundedSender<()>) {
    while let Ok(item) = watch.next().await {
        if let Item::Events(events) = item {
            for _ in events.iter() {
                // Nobody listens once the measurement is over.
                if seen.send(()).is_err() {
                    return;
                }
            }
        }
    }
}

/// How long or how often, by how many at a time.
#[derive(Clone, Copy)]
struct Times {
    workers: usize,
    seconds: f64,
    operations: i64,
}

impl Times {
    async fn repeat<F>(self, work: impl Fn(i64) -> F + Send + Sync + 'static) -> anyhow::Result<Answer>
    where
        F: Future<Output = anyhow::Result<()>> + Send,
    {
        let (next, began) = (AtomicI64::new(0), Instant::now());
        let shared = Arc::new((next, work));
        // A task for each, as each request of an API server has.
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..self.workers {
            let shared = shared.clone();
            running.spawn(async move {
                let (next, work) = &*shared;
                let mut latencies = Vec::new();
                loop {
                    let (number, before) = (next.fetch_add(1, Ordering::Relaxed), Instant::now());
                    if self.is_over(number, before - began) {
                        return anyhow::Ok(latencies);
                    }
                    work(number).await?;
                    latencies.push(before.elapsed());
                }
            });
        }
        let mut latencies = Vec::new();
        while let Some(ended) = running.join_next().await {
            latencies.extend(ended??);
        }
        Ok(summary(latencies, began.elapsed()))
    }

    fn is_over(self, number: i64, elapsed: Duration) -> bool {
        match self.operations {
            0 => elapsed.as_secs_f64() > self.seconds,
            limit => number >= limit,
        }
    }
}

fn summary(mut latencies: Vec<Duration>, took: Duration) -> Answer {
    latencies.sort_unstable();
    let at = |share: f64| match latencies.len() {
        0 => 0.0,
        count => latencies[((count - 1) as f64 * share) as usize].as_secs_f64() * 1e6,
    };
    let (p50_us, p99_us, max_us) = (at(0.5), at(0.99), at(1.0));
    Answer { operations: latencies.len(), seconds: took.as_secs_f64(), p50_us, p99_us, max_us }
}

/// The key of a number: a config map in one of ten namespaces.
fn key(number: i64) -> Key {
    Key::new("", "configmaps", &format!("ns-{}", number % 10), &format!("object-{number:07}"))
}
