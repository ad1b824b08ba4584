//! What a queue that has a name measures of itself: client-go's `workqueue_…` metrics (`util/workqueue/metrics.go`).
//!
//! What happens is counted as it happens; what is (how many items wait, for how long others are worked on) is looked up when
//! somebody asks, so that an idle queue does nothing for it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::time::Instant;

use super::Shared;
use crate::measures::{counters, exponential_buckets, histograms};

const LABELS: &[&str] = &["name"];

static ADDS: LazyLock<IntCounterVec> =
    LazyLock::new(|| counters("workqueue_adds_total", "Total number of adds handled by workqueue", LABELS));
static RETRIES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    counters("workqueue_retries_total", "Total number of retries handled by workqueue", LABELS)
});
static WAITS: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "How long in seconds an item stays in workqueue before being requested.";
    histograms("workqueue_queue_duration_seconds", help, LABELS, exponential_buckets(10e-9, 10.0, 10))
});
static WORK: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "How long in seconds processing an item from workqueue takes.";
    histograms("workqueue_work_duration_seconds", help, LABELS, exponential_buckets(10e-9, 10.0, 10))
});
/// The queues that are.
static PRESENT: LazyLock<Arc<Mutex<Vec<Observed>>>> = LazyLock::new(|| {
    let queues: Arc<Mutex<Vec<Observed>>> = Arc::default();
    prometheus::register(Box::new(States::new(queues.clone()))).expect("nothing else has these names");
    queues
});

/// What happens in one queue.
#[derive(Debug)]
pub(super) struct Measures<T> {
    adds: IntCounter,
    retries: IntCounter,
    waits: Histogram,
    work: Histogram,
    added: HashMap<T, Instant>,
    started: HashMap<T, Instant>,
}

impl<T: Eq + Hash + Clone> Measures<T> {
    pub(super) fn new(name: &str) -> Self {
        Self {
            adds: ADDS.with_label_values(&[name]),
            retries: RETRIES.with_label_values(&[name]),
            waits: WAITS.with_label_values(&[name]),
            work: WORK.with_label_values(&[name]),
            added: HashMap::new(),
            started: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, item: &T) {
        self.adds.inc();
        self.added.entry(item.clone()).or_insert_with(Instant::now);
    }

    pub(super) fn take(&mut self, item: &T) {
        let now = Instant::now();
        if let Some(added) = self.added.remove(item) {
            self.waits.observe(now.duration_since(added).as_secs_f64());
        }
        self.started.insert(item.clone(), now);
    }

    pub(super) fn done(&mut self, item: &T) {
        if let Some(started) = self.started.remove(item) {
            self.work.observe(started.elapsed().as_secs_f64());
        }
    }

    pub(super) fn retry(&self) {
        self.retries.inc();
    }
}

/// What a queue is asked about its present.
trait Present: Send + Sync {
    /// How many items are to be worked on.
    fn depth(&self) -> usize;
    /// Since when others are worked on.
    fn started(&self) -> Vec<Instant>;
}

impl<T: Send> Present for Shared<T> {
    fn depth(&self) -> usize {
        self.lock().dirty.len()
    }

    fn started(&self) -> Vec<Instant> {
        self.lock().measures.iter().flat_map(|measures| measures.started.values().copied()).collect()
    }
}

type Observed = (&'static str, Weak<dyn Present>);

/// Shows the queue's present under this name for as long as it is.
pub(super) fn observe<T: Send + 'static>(name: &'static str, queue: &Arc<Shared<T>>) {
    let queue: Arc<dyn Present> = queue.clone();
    PRESENT.lock().unwrap_or_else(PoisonError::into_inner).push((name, Arc::downgrade(&queue)));
}

/// Looks at all queues when somebody asks.
struct States {
    queues: Arc<Mutex<Vec<Observed>>>,
    depth: GaugeVec,
    unfinished: GaugeVec,
    longest: GaugeVec,
}

impl States {
    fn new(queues: Arc<Mutex<Vec<Observed>>>) -> Self {
        let gauge = |name: &str, help: &str| {
            GaugeVec::new(Opts::new(name, help), LABELS).expect("the names are well formed")
        };
        Self {
            queues,
            depth: gauge("workqueue_depth", "Current depth of workqueue"),
            unfinished: gauge(
                "workqueue_unfinished_work_seconds",
                "How many seconds of work has been done that is in progress and not in work_duration yet; the rate at which \
                 it rises is the number of workers that are stuck.",
            ),
            longest: gauge(
                "workqueue_longest_running_processor_seconds",
                "How many seconds the longest running worker of the workqueue has been at its item.",
            ),
        }
    }

    fn gauges(&self) -> [&GaugeVec; 3] {
        [&self.depth, &self.unfinished, &self.longest]
    }

    fn show(&self, name: &str, queue: &dyn Present, now: Instant) {
        let of = |gauges: &GaugeVec| -> Gauge { gauges.with_label_values(&[name]) };
        let ages = queue.started().into_iter().map(|started| now.duration_since(started).as_secs_f64());
        let (total, longest) =
            ages.fold((0.0, 0.0), |(total, longest), age| (total + age, f64::max(longest, age)));
        of(&self.depth).add(queue.depth() as f64);
        of(&self.unfinished).add(total);
        of(&self.longest).set(of(&self.longest).get().max(longest));
    }
}

impl Collector for States {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|(_, queue)| queue.strong_count() > 0);
        self.gauges().into_iter().for_each(GaugeVec::reset);
        let now = Instant::now();
        for (name, queue) in queues.iter() {
            if let Some(queue) = queue.upgrade() {
                self.show(name, &*queue, now);
            }
        }
        self.gauges().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{Encoder, TextEncoder};

    use super::super::Queue;

    fn shown(metric: &str) -> Vec<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&prometheus::gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| line.contains("name=\"measured\"") && line.contains(metric));
        lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_queue_tells_what_waits_what_is_worked_on_and_what_was_done() {
        let queue = Queue::named("measured");
        queue.add("a");
        queue.add("b");
        queue.add("b");
        tokio::time::advance(Duration::from_secs(2)).await;
        let item = queue.next().await.unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!((shown("_adds_total"), shown("_depth")), (vec!["2".into()], vec!["1".into()]));
        assert_eq!((shown("_unfinished_work"), shown("_longest")), (vec!["3".into()], vec!["3".into()]));
        assert_eq!(shown("queue_duration_seconds_sum"), ["2"]);
        queue.add_rate_limited(item);
        queue.done(&item);
        assert_eq!(
            (shown("work_duration_seconds_sum"), shown("_retries_total")),
            (vec!["3".into()], vec!["1".into()])
        );
        assert_eq!(shown("_unfinished_work"), ["0"]);
        drop(queue);
        assert!(shown("_depth").is_empty(), "a queue that is gone is not shown");
    }
}
