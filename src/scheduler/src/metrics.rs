//! What the scheduler measures of itself, under upstream's names (`pkg/scheduler/metrics`). There is one profile.

use std::{sync::LazyLock, time::Duration};

use client::{counters, exponential_buckets, gauges, histograms};
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

use crate::{NAME, queue::Sizes};

static ATTEMPTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Number of attempts to schedule pods, by the result: scheduled, unschedulable (no node fits) or error.";
    counters("scheduler_schedule_attempts_total", help, &["result", "profile"])
});
static ATTEMPT: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Scheduling attempt latency in seconds (scheduling algorithm + binding)";
    let labels = &["result", "profile"];
    histograms(
        "scheduler_scheduling_attempt_duration_seconds",
        help,
        labels,
        exponential_buckets(0.001, 2.0, 15),
    )
});
static ALGORITHM: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Scheduling algorithm latency in seconds";
    histograms(
        "scheduler_scheduling_algorithm_duration_seconds",
        help,
        &[],
        exponential_buckets(0.001, 2.0, 15),
    )
});
static ATTEMPTS_NEEDED: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Number of attempts to successfully schedule a pod.";
    histograms("scheduler_pod_scheduling_attempts", help, &[], exponential_buckets(1.0, 2.0, 5))
});
static PENDING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Number of pending pods, by where they wait: active, backoff, or unschedulable until something changes.";
    gauges("scheduler_pending_pods", help, &["queue"])
});

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attempt {
    /// The pod is bound; with the attempts that it took.
    Scheduled(u32),
    /// No node fits.
    Unschedulable,
    /// Something else was wrong.
    Error,
}

/// An attempt ended after this time.
pub(crate) fn attempted(outcome: Attempt, took: Duration) {
    let result = match outcome {
        Attempt::Scheduled(attempts) => {
            ATTEMPTS_NEEDED.with_label_values(&[]).observe(attempts.into());
            "scheduled"
        }
        Attempt::Unschedulable => "unschedulable",
        Attempt::Error => "error",
    };
    ATTEMPTS.with_label_values(&[result, NAME]).inc();
    ATTEMPT.with_label_values(&[result, NAME]).observe(took.as_secs_f64());
}

/// A node was chosen, or found that there is none, in this time.
pub(crate) fn decided(took: Duration) {
    ALGORITHM.with_label_values(&[]).observe(took.as_secs_f64());
}

/// So many pods wait.
pub(crate) fn pending(sizes: Sizes) {
    let Sizes { active, backoff, unschedulable } = sizes;
    for (queue, size) in [("active", active), ("backoff", backoff), ("unschedulable", unschedulable)] {
        PENDING.with_label_values(&[queue]).set(i64::try_from(size).unwrap_or(i64::MAX));
    }
}
