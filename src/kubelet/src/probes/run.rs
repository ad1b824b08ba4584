//! One probe of one container: when it runs, how results count, what it reports.

use std::{sync::Arc, time::Duration};

use client::EventType;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{Kind, Outcome, Report, exec, http, tcp};
use crate::{host::Host, pod::Role};

const RETRIES: usize = 3;
const NO_GRPC: &str = "grpc probes are not supported in this version";

/// What one run of a probe says.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Success,
    /// With the text for the event.
    Failure(String),
    /// The probe could not be run.
    Error(String),
}

pub(super) struct Prober {
    pub host: Arc<Host>,
    pub pod: Arc<Pod>,
    pub container: Container,
    pub role: Role,
    pub id: String,
    pub kind: Kind,
    pub probe: Probe,
    pub ip: String,
}

impl Prober {
    /// Probes until nothing can change any more: a startup probe once it has an outcome, a liveness probe once it failed.
    ///
    /// A grpc probe is reported once and never run: a container with one as its readiness or startup probe does not become
    /// ready; one as its liveness probe never restarts it.
    pub(super) async fn run(self, started_at: Timestamp, reports: mpsc::UnboundedSender<Report>) {
        if self.probe.grpc.is_some() {
            return self.unknown(NO_GRPC);
        }
        let mut count = Count::default();
        let mut timer =
            interval_at(self.first_run(started_at), seconds(self.probe.period_seconds.unwrap_or(10)));
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reported = None;
        loop {
            timer.tick().await;
            let Some(outcome) = self.ask().await else { continue };
            let threshold = match outcome {
                Outcome::Success => self.probe.success_threshold.unwrap_or(1),
                Outcome::Failure => self.probe.failure_threshold.unwrap_or(3),
            };
            if !count.reaches(outcome, threshold) || reported == Some(outcome) {
                continue;
            }
            reported = Some(outcome);
            let report = Report { id: self.id.clone(), kind: self.kind, outcome };
            let ends =
                self.kind == Kind::Startup || (self.kind == Kind::Liveness && outcome == Outcome::Failure);
            if reports.send(report).is_err() || ends {
                return;
            }
        }
    }

    fn first_run(&self, started_at: Timestamp) -> Instant {
        let delay = SignedDuration::from_secs(self.probe.initial_delay_seconds.unwrap_or(0).into());
        let left = (started_at + delay).duration_since(Timestamp::now());
        Instant::now() + Duration::try_from(left).unwrap_or(Duration::ZERO)
    }

    /// Runs the probe, up to three times where it cannot be run, and records an event unless all is well.
    async fn ask(&self) -> Option<Outcome> {
        let mut error = String::new();
        for _ in 0..RETRIES {
            match self.once().await {
                Answer::Success => return Some(Outcome::Success),
                Answer::Failure(text) => {
                    self.event(format!("{} probe failed: {text}", self.kind.name()));
                    return Some(Outcome::Failure);
                }
                Answer::Error(text) => error = text,
            }
        }
        self.unknown(&error);
        None
    }

    fn unknown(&self, error: &str) {
        self.event(format!("{} probe errored and resulted in unknown state: {error}", self.kind.name()));
    }

    fn event(&self, message: String) {
        let about = (self.role, self.container.name.as_str());
        self.host.container_event(&self.pod, about, EventType::Warning, "Unhealthy", message);
    }

    async fn once(&self) -> Answer {
        let timeout = seconds(self.probe.timeout_seconds.unwrap_or(1));
        if let Some(action) = &self.probe.exec {
            let command = action.command.clone().unwrap_or_default();
            return exec::probe(self.host.runtime.as_ref(), &self.id, command, timeout).await;
        }
        if let Some(action) = &self.probe.http_get {
            return match http::target(action, &self.container, &self.ip) {
                Ok(target) => http::probe(&target, timeout).await,
                Err(error) => Answer::Error(error),
            };
        }
        if let Some(action) = &self.probe.tcp_socket {
            let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(&self.ip);
            return match http::port(&action.port, &self.container) {
                Ok(port) => tcp::probe(host, port, timeout).await,
                Err(error) => Answer::Error(error),
            };
        }
        Answer::Error("the probe names nothing to do".into())
    }
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(seconds.max(1).unsigned_abs().into())
}

/// Equal results in a row.
#[derive(Default)]
struct Count {
    last: Option<Outcome>,
    run: i32,
}

impl Count {
    /// Counts one more `outcome`; true once there are `threshold` of them in a row.
    fn reaches(&mut self, outcome: Outcome, threshold: i32) -> bool {
        self.run = if self.last == Some(outcome) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(outcome);
        self.run >= threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_in_a_row_reach_the_threshold() {
        use Outcome::{Failure, Success};
        let mut count = Count::default();
        let outcomes = [Failure, Failure, Success, Failure, Failure, Failure, Failure];
        let reached = outcomes.map(|outcome| count.reaches(outcome, 3));
        assert_eq!(reached, [false, false, false, false, false, true, true]);
    }
}
