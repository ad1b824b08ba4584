//! What the parts of the store cost, each over the engine in memory, so that no disk is measured:
//! `cargo bench -p coxswain-store`. The whole on a disk, beside etcd, is `hack/bench store`.

extern crate coxswain_store as store;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;
use store::{Engine, Item, Key, Options, Precondition, Range, Revision, Store, Value, Watch, Write, memory};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const KEYS: usize = 10_000;

fn key(number: usize) -> Key {
    Key::new("", "configmaps", &format!("ns-{}", number % 10), &format!("object-{number:05}"))
}

fn value() -> Value {
    Value::new(Bytes::from(vec![b'x'; 750]), Bytes::from(vec![b'y'; 750]))
}

/// No recent events in memory: what is not the present is read from the engine.
fn options() -> Options {
    Options { ring: 0, horizon: Duration::from_secs(3600), ..Options::default() }
}

async fn put(store: Store, number: usize) -> Revision {
    let committed = store.commit(key(number), Precondition::Any, Write::Put(value())).await;
    committed.expect("the engine in memory takes everything").entry.revision
}

async fn put_all(store: &Store, numbers: impl Iterator<Item = usize>) {
    let mut writes = JoinSet::new();
    for number in numbers {
        writes.spawn(put(store.clone(), number));
    }
    writes.join_all().await;
}

fn filled(runtime: &Runtime) -> (Engine, Store) {
    let engine = memory::new();
    let store = runtime.block_on(async {
        let store = Store::open(engine.clone(), options()).await.expect("it is empty");
        put_all(&store, 0..KEYS).await;
        store
    });
    (engine, store)
}

/// A lone write, and a thousand that share groups: preconditions, records, the current map, publication, answers.
fn commits(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let (_, store) = filled(&runtime);
    let mut group = criterion.benchmark_group("commit");
    group.bench_function("one", |bencher| bencher.iter(|| runtime.block_on(put(store.clone(), 7))));
    group.throughput(Throughput::Elements(1000));
    group.bench_function("a thousand at once", |bencher| {
        bencher.iter(|| runtime.block_on(put_all(&store, 0..1000)));
    });
}

/// What readers of the present pay.
fn current(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let (_, store) = filled(&runtime);
    let wanted = key(KEYS / 2);
    criterion.bench_function("current/get", |bencher| bencher.iter(|| black_box(store.get(&wanted))));
    let mut group = criterion.benchmark_group("current/range");
    for (name, range, length) in [
        ("of 1,000", Range::namespace("", "configmaps", "ns-3"), KEYS / 10),
        ("of 10,000", Range::resource("", "configmaps"), KEYS),
    ] {
        group.throughput(Throughput::Elements(length as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let bytes: usize = store.snapshot(&range).iter().map(|entry| entry.bytes.len()).sum();
                black_box(bytes)
            });
        });
    }
}

/// Records read, checked and decoded: a list of the past, and everything when a store is opened.
fn records(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let (engine, store) = filled(&runtime);
    let past = store.revision();
    runtime.block_on(put_all(&store, 0..KEYS));
    let range = Range::namespace("", "configmaps", "ns-3");
    let mut group = criterion.benchmark_group("records");
    group.throughput(Throughput::Elements(KEYS as u64 / 10));
    group.bench_function("list of 1,000 in the past", |bencher| {
        bencher.iter(|| runtime.block_on(store.list_at(&range, past, None, 0)).expect("it is kept"));
    });
    runtime.block_on(store.shutdown());
    group.throughput(Throughput::Elements(2 * KEYS as u64));
    group.bench_function("open with 20,000 versions", |bencher| {
        let open = || runtime.block_on(Store::open(engine.clone(), options())).expect("it is sound");
        bencher.iter_batched(|| (), |()| open(), BatchSize::PerIteration);
    });
}

/// A write until the last of its watchers has the event.
fn watchers(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let (_, store) = filled(&runtime);
    let mut group = criterion.benchmark_group("watch");
    for count in [1, 1000] {
        let watch = || store.watch(Range::resource("", "configmaps"), store.revision()).expect("it is now");
        let mut watches: Vec<Watch> = (0..count).map(|_| watch()).collect();
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("an event to {count}"), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let revision = put(store.clone(), 7).await;
                    for watch in &mut watches {
                        until(watch, revision).await;
                    }
                });
            });
        });
    }
}

async fn until(watch: &mut Watch, revision: Revision) {
    while watch.position() < revision {
        if let Item::Events(events) = watch.next().await.expect("it is not slow") {
            black_box(events);
        }
    }
}

criterion_group!(parts, commits, current, records, watchers);
criterion_main!(parts);
