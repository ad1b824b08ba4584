//! What a process measures of itself: the metrics of this crate and of whoever uses it, all in Prometheus' default registry,
//! from where `/metrics` takes them. Names, labels and buckets are upstream's; nothing is registered that nobody measures.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, core::Collector};

/// What cannot happen in a process that runs at all.
const REGISTERED: &str = "each metric is registered once, under a name that Prometheus allows";

/// Counts by labels, registered.
///
/// # Panics
/// Another metric has the name.
pub fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

/// Values by labels that rise and fall, registered.
///
/// # Panics
/// Another metric has the name.
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(IntGaugeVec::new(Opts::new(name, help), labels))
}

/// Distributions by labels, registered; `buckets` are upper bounds in the unit that the name ends with.
///
/// # Panics
/// Another metric has the name.
pub fn histograms(name: &str, help: &str, labels: &[&str], buckets: Vec<f64>) -> HistogramVec {
    registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels))
}

/// `count` upper bounds, each `factor` times the one before it.
pub fn exponential_buckets(first: f64, factor: f64, count: u16) -> Vec<f64> {
    (0..count).map(|power| first * factor.powi(power.into())).collect()
}

fn registered<C: Collector + Clone + 'static>(metric: prometheus::Result<C>) -> C {
    let metric = metric.expect(REGISTERED);
    prometheus::register(Box::new(metric.clone())).expect(REGISTERED);
    metric
}
