//! What encryption tells about itself on `/metrics`, under upstream's names (`pkg/storage/value/metrics.go`,
//! `pkg/server/options/encryptionconfig/metrics`, `pkg/storage/value/encrypt/envelope/metrics`). Counted for resources that the
//! configuration names.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, exponential_buckets, register_gauge_vec,
    register_histogram_vec, register_int_counter_vec,
};
use store::Key;

const VALID: &str = "names and labels are valid, and each is used once";

static OPERATIONS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Values that were encrypted for the storage or decrypted from it, by whether that worked.";
    let labels = &["resource", "transformation_type", "transformer_prefix", "status"];
    register_int_counter_vec!("apiserver_storage_transformation_operations_total", help, labels).expect(VALID)
});
static DURATION: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Seconds that encrypting or decrypting a value takes.";
    let buckets = exponential_buckets(5e-6, 2.0, 25).expect("they increase");
    let options =
        HistogramOpts::new("apiserver_storage_transformation_duration_seconds", help).buckets(buckets);
    register_histogram_vec!(options, &["transformation_type", "transformer_prefix"]).expect(VALID)
});
static CALLS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Seconds that calls of KMS plugins take, by method and gRPC's code.";
    let buckets = exponential_buckets(1e-4, 2.0, 20).expect("they increase");
    let name = "apiserver_envelope_encryption_kms_operations_latency_seconds";
    let options = HistogramOpts::new(name, help).buckets(buckets);
    register_histogram_vec!(options, &["provider_name", "method_name", "grpc_status_code"]).expect(VALID)
});
static SEEDS: LazyLock<GaugeVec> = LazyLock::new(|| {
    let help = "Seeds that are known; a start asks the KMS plugin for about as many.";
    register_gauge_vec!("apiserver_envelope_encryption_dek_source_cache_size", help, &["provider_name"])
        .expect(VALID)
});
/// There is one server in a process, so that nothing tells servers apart.
const RELOAD_LABELS: &[&str] = &["status", "apiserver_id_hash"];
static RELOADS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let name = "apiserver_encryption_config_controller_automatic_reloads_total";
    let help = "Times that a changed encryption configuration was taken over, or could not be.";
    register_int_counter_vec!(name, help, RELOAD_LABELS).expect(VALID)
});
static RELOADED: LazyLock<GaugeVec> = LazyLock::new(|| {
    let name = "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds";
    let help = "When a changed encryption configuration was last taken over, or could not be.";
    register_gauge_vec!(name, help, RELOAD_LABELS).expect(VALID)
});

/// Which way a value went.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    ToStorage,
    FromStorage,
}

/// A value was encrypted or decrypted by the provider of this prefix, in this time, or could not be.
pub(super) fn transformed(key: &Key, way: Way, prefix: &str, took: Duration, is_done: bool) {
    let way = match way {
        Way::ToStorage => "to_storage",
        Way::FromStorage => "from_storage",
    };
    let resource = match key.group() {
        "" => key.resource().to_owned(),
        group => format!("{}.{group}", key.resource()),
    };
    let status = if is_done { "OK" } else { "Unknown" };
    OPERATIONS.with_label_values(&[&resource, way, prefix, status]).inc();
    if is_done {
        DURATION.with_label_values(&[way, prefix]).observe(took.as_secs_f64());
    }
}

/// A changed configuration is in use now, or cannot be used.
pub(super) fn reloaded(is_done: bool) {
    let labels = [if is_done { "success" } else { "failure" }, ""];
    RELOADS.with_label_values(&labels).inc();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RELOADED.with_label_values(&labels).set(now.as_secs_f64());
}

/// A plugin was called; `code` is gRPC's.
pub(super) fn called(plugin: &str, method: &str, code: &str, took: Duration) {
    CALLS.with_label_values(&[plugin, method, code]).observe(took.as_secs_f64());
}

/// So many seeds of a plugin are known.
pub(super) fn seeds(plugin: &str, count: usize) {
    SEEDS.with_label_values(&[plugin]).set(count as f64);
}
