//! Prints what writes, and a watcher of them, cost on this machine: `cargo run --example throughput [directory]`.
//!
//! Without a directory a temporary one is used; figures of a debug build say little.

extern crate coxswain_store as store;

use bytes::Bytes;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};
use store::{Item, Key, Options, Precondition, Range, Store, Value, Write};

const KEYS: usize = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let directory = std::env::args_os().nth(1).map_or(temporary.path().to_owned(), Into::into);
    let store = Store::open(store::fjall::open(directory)?, Options::default()).await?;
    let mut watch = store.watch(Range::resource("", "configmaps"), store.revision())?;
    let watching = tokio::spawn(async move {
        let mut events = 0;
        while let Ok(item) = watch.next().await {
            if let Item::Events(more) = item {
                events += more.len();
            }
        }
        events
    });
    for writers in [1, 16, 64, 512] {
        measure(&store, writers, Duration::from_secs(3)).await?;
    }
    println!("resident {} MiB, on disk {} MiB", resident_mib()?, store.size_in_bytes().await? >> 20);
    store.shutdown().await;
    println!("{} events watched", watching.await?);
    Ok(())
}

async fn measure(store: &Store, writers: usize, time: Duration) -> Result<(), Box<dyn Error>> {
    let (started, cpu) = (Instant::now(), cpu_time()?);
    let tasks: Vec<_> =
        (0..writers).map(|writer| tokio::spawn(write(store.clone(), writer, writers, time))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    let per_second = latencies.len() as f64 / started.elapsed().as_secs_f64();
    let cpu = (cpu_time()? - cpu) / latencies.len() as u32;
    println!("{writers:4} writers: {per_second:8.0}/s, p50 {:?}, p99 {:?}, CPU {cpu:?}", at(0.5), at(0.99));
    Ok(())
}

/// Writes objects of 1.5 KB over and over, and gives the time that each write took.
async fn write(
    store: Store,
    writer: usize,
    writers: usize,
    time: Duration,
) -> Result<Vec<Duration>, store::CommitError> {
    let (started, mut latencies) = (Instant::now(), Vec::new());
    let value = Value::new(Bytes::from(vec![b'x'; 750]), Bytes::from(vec![b'x'; 750]));
    for step in 0.. {
        if started.elapsed() > time {
            break;
        }
        let key =
            Key::new("", "configmaps", "default", &format!("object-{}", (step * writers + writer) % KEYS));
        let before = Instant::now();
        store.commit(key, Precondition::Any, Write::Put(value.clone())).await?;
        latencies.push(before.elapsed());
    }
    Ok(latencies)
}

/// The time that all threads of the process spent on processors, in the kernel and out of it.
fn cpu_time() -> std::io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += Duration::from_nanos(text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0));
    }
    Ok(sum)
}

fn resident_mib() -> std::io::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) >> 10)
}
