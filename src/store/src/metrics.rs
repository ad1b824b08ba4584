//! What a store tells about itself to whoever watches it, as families of metrics; the text is for others to write.
//!
//! Upstream's names (`k8s.io/apiserver/pkg/storage/etcd3/metrics`) where they mean the same here, `coxswain_store_` before
//! the others. Counters run along with what they count; everything else is looked at when somebody asks.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, Opts, Registry};

use crate::current::is_unreadable;
use crate::shared::Shared;
use crate::{Entry, Sealing};

/// From a tenth of a millisecond, what a good disk takes, to thirteen seconds.
const COMMIT_BUCKETS: (f64, f64, usize) = (0.0001, 2.0, 18);

/// What is counted while it happens.
pub(crate) struct Metrics {
    /// Seconds from handing the engine a group to its being durable.
    pub(crate) commits: Histogram,
    /// Writes done here.
    pub(crate) writes: IntCounter,
    /// Comparisons of the current map with the engine that were finished.
    pub(crate) comparisons: IntCounter,
    /// Keys of which they differed.
    pub(crate) differences: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let (start, factor, count) = COMMIT_BUCKETS;
        let buckets = prometheus::exponential_buckets(start, factor, count).expect("they increase");
        let commits = HistogramOpts::new(
            "coxswain_store_commit_duration_seconds",
            "Time from handing the engine a group of writes until it is durable.",
        );
        Self {
            commits: Histogram::with_opts(commits.buckets(buckets)).expect(VALID),
            writes: counter("coxswain_store_writes_total", "Writes that were done."),
            comparisons: counter(
                "coxswain_store_comparisons_total",
                "Finished comparisons of the current state in memory with the engine.",
            ),
            differences: counter(
                "coxswain_store_differences_total",
                "Keys of which the current state in memory was not what the engine holds.",
            ),
        }
    }
}

const VALID: &str = "names and labels are valid, and each is used once";

fn counter(name: &str, help: &str) -> IntCounter {
    IntCounter::new(name, help).expect(VALID)
}

/// What a process can say of its store beyond what it has in memory.
pub(crate) struct Situation {
    /// What the store takes on the disk, where that is known.
    pub(crate) bytes: Option<u64>,
    pub(crate) is_writable: bool,
    /// Whether this process orders the writes, and so knows how much history there is: others do not count what goes.
    pub(crate) orders_writes: bool,
}

/// Everything there is to tell.
pub(crate) fn gather(shared: &Shared, situation: &Situation) -> Vec<MetricFamily> {
    let registry = Registry::new();
    let metrics = &shared.metrics;
    add(&registry, metrics.commits.clone());
    add(&registry, metrics.writes.clone());
    add(&registry, metrics.comparisons.clone());
    add(&registry, metrics.differences.clone());
    let gauge = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::new(name, help).expect(VALID);
        gauge.set(value as f64);
        add(&registry, gauge);
    };
    gauge("coxswain_store_revision", "The newest revision.", shared.tip());
    gauge(
        "coxswain_store_horizon_revision",
        "The oldest revision that can still be listed and watched from.",
        shared.horizon(),
    );
    if situation.orders_writes {
        gauge(
            "coxswain_store_history_bytes",
            "What the history takes that lists and watches may ask for, before compression: five minutes, less of very many \
             writes. Told by the server that orders the writes.",
            shared.history_bytes(),
        );
    }
    gauge("coxswain_store_watches", "Watches that exist.", shared.watch_count() as u64);
    gauge("coxswain_store_writable", "1 while the store takes writes.", u64::from(situation.is_writable));
    gauge(
        "coxswain_store_unreadable_objects",
        "Objects that cannot be decrypted with the present encryption configuration.",
        shared.unreadable().len() as u64,
    );
    gauge(
        "coxswain_store_stale_objects",
        "Objects that are stored otherwise than the encryption configuration says now: they were not written again since.",
        stale(shared),
    );
    if let Some(bytes) = situation.bytes {
        let size = vector(
            &registry,
            "apiserver_storage_size_bytes",
            "Size of the storage database file physically allocated in bytes.",
            &["storage_cluster_id"],
        );
        size.with_label_values(&["store-0"]).set(bytes as f64);
    }
    add_resources(shared, &registry);
    registry.gather()
}

/// How many entries would be sealed otherwise if they were written now.
fn stale(shared: &Shared) -> u64 {
    let stale = shared.select(|any| {
        let now = Sealing::of(shared.options.seal.current(any));
        Some(move |entry: &Entry| entry.sealing != now && !is_unreadable(entry))
    });
    stale.len() as u64
}

fn add_resources(shared: &Shared, registry: &Registry) {
    let objects = vector(
        registry,
        "apiserver_resource_objects",
        "Number of stored objects by resource.",
        &["group", "resource"],
    );
    let sizes = vector(
        registry,
        "apiserver_resource_size_estimate_bytes",
        "Size of the stored objects by resource.",
        &["group", "resource"],
    );
    let old = vector(
        registry,
        "apiserver_storage_objects",
        "[DEPRECATED, consider using apiserver_resource_objects instead] Number of stored objects by resource.",
        &["resource"],
    );
    for (collection, entries) in shared.collections() {
        let (group, resource) = collection.split_once('/').unwrap_or(("", &collection));
        let bytes: usize = entries.values().map(|entry| entry.bytes.len()).sum();
        objects.with_label_values(&[group, resource]).set(entries.len() as f64);
        sizes.with_label_values(&[group, resource]).set(bytes as f64);
        let name = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        old.with_label_values(&[&name]).set(entries.len() as f64);
    }
}

fn vector(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
    let vector = GaugeVec::new(Opts::new(name, help), labels).expect(VALID);
    add(registry, vector.clone());
    vector
}

fn add(registry: &Registry, collector: impl Collector + 'static) {
    registry.register(Box::new(collector)).expect(VALID);
}
