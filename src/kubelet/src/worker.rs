//! One task per pod: look, plan, say, act, wait.
//!
//! The pod comes through a channel, changes of what runs as pokes, ends of jobs and probe results from its own tasks. A
//! worker touches nothing but its own pod and ends when the pod is gone from the API and from the node.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    act::{Actor, Done},
    host::Host,
    memory::{Memory, Verdict, Volumes},
    observed::{self, Observed},
    plan::{self, Plan, Step},
    pod,
    poke::Poke,
    probes::{Probers, Report},
    references::Held,
    report::Reporter,
    status,
};

mod announce;
mod probing;

/// How long a worker waits before it tries again what failed for no fault of the pod.
const RETRY: SignedDuration = SignedDuration::from_secs(2);

/// What a worker is told about its pod.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    pub pod: Arc<Pod>,
    /// The API object is gone.
    pub is_removed: bool,
}

pub(crate) struct Worker {
    host: Arc<Host>,
    poke: Arc<Poke>,
    desired: watch::Receiver<Desired>,
    pod: Arc<Pod>,
    is_removed: bool,
    /// Why the node does not take the pod, if so.
    rejected: Option<Verdict>,
    held: Held,
    memory: Memory,
    jobs: JoinSet<Done>,
    reporter: Reporter,
    probers: Probers,
    reports: mpsc::UnboundedReceiver<Report>,
    ended: HashMap<String, observed::Container>,
    told: announce::Told,
}

/// What one round of a worker came to.
enum Round {
    /// Something was done: look again.
    Again,
    /// Nothing to do until something happens, or until then.
    Wait(Option<Timestamp>),
    /// The pod is gone.
    End,
}

impl Worker {
    pub(crate) fn new(
        host: Arc<Host>,
        poke: Arc<Poke>,
        desired: watch::Receiver<Desired>,
        rejected: Option<Verdict>,
    ) -> Self {
        let Desired { pod, is_removed } = desired.borrow().clone();
        let (probers, reports) = Probers::new(host.clone());
        Self {
            held: host.references.hold(&pod, &poke),
            reporter: Reporter::new(host.client.clone(), &pod),
            memory: Memory::default(),
            jobs: JoinSet::new(),
            ended: HashMap::new(),
            told: announce::Told::default(),
            host,
            poke,
            desired,
            pod,
            is_removed,
            rejected,
            probers,
            reports,
        }
    }

    /// Works until the pod is gone.
    pub(crate) async fn run(mut self) {
        let mut pokes = self.poke.subscribe();
        // An earlier kubelet may have ended while it had them lifted.
        if let Err(error) = self.host.cgroups.limit(&self.pod) {
            tracing::warn!(pod = %pod::full_name(&self.pod), %error, "the pod's resources cannot be limited");
        }
        loop {
            pokes.borrow_and_update();
            self.take_in();
            let wake_at = match self.round().await {
                Round::Again => continue,
                Round::End => return,
                Round::Wait(wake_at) => wake_at,
            };
            tokio::select! {
                changed = self.desired.changed() => if changed.is_err() { return },
                _ = pokes.changed() => {}
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => self.job_ended(done),
                Some(report) = self.reports.recv() => self.probed(report),
                () = self.reporter.written() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Takes in whatever arrived while a round was running.
    fn take_in(&mut self) {
        let Desired { pod, is_removed } = self.desired.borrow_and_update().clone();
        self.is_removed = is_removed;
        if !Arc::ptr_eq(&pod, &self.pod) {
            if !self.memory.is_torn_down {
                self.held = self.host.references.hold(&pod, &self.poke);
            }
            if pod.metadata.labels != self.pod.metadata.labels
                || pod.metadata.annotations != self.pod.metadata.annotations
            {
                self.refresh_volumes();
            }
            self.pod = pod;
        }
        if self.poke.take_objects_changed() {
            self.refresh_volumes();
            // What was missing may be there now.
            for known in self.memory.containers.values_mut() {
                known.failure.take_if(|failure| failure.reason == "CreateContainerConfigError");
            }
        }
        while let Ok(report) = self.reports.try_recv() {
            self.probed(report);
        }
        while let Some(done) = self.jobs.try_join_next() {
            self.job_ended(done);
        }
    }

    fn refresh_volumes(&mut self) {
        let now = Timestamp::now();
        self.memory.volumes = match self.memory.volumes {
            Volumes::Ready { .. } => Volumes::Ready { refresh_at: Some(now) },
            Volumes::Failed { .. } => Volumes::Failed { retry_at: now },
            Volumes::Unknown => Volumes::Unknown,
        };
    }

    fn job_ended(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(done) => self.actor(&Observed::default()).done(done),
            Err(error) => {
                // Its marks would block the pod for ever.
                tracing::error!(pod = %pod::full_name(&self.pod), %error, "a job of a pod panicked");
                self.memory.killing.clear();
                self.memory.hooks.clear();
                self.memory.containers.values_mut().for_each(|known| known.is_pulling = false);
            }
        }
    }

    fn actor<'a>(&'a mut self, observed: &'a Observed) -> Actor<'a> {
        Actor {
            host: &self.host,
            pod: &self.pod,
            held: &self.held,
            observed,
            memory: &mut self.memory,
            jobs: &mut self.jobs,
        }
    }

    /// Looks, plans, tells the API and carries out the plan.
    async fn round(&mut self) -> Round {
        let uid = pod::uid(&self.pod).to_owned();
        let observed = match observed::observe(self.host.runtime.as_ref(), &uid, &mut self.ended).await {
            Ok(observed) => observed,
            Err(status) => {
                tracing::warn!(pod = %pod::full_name(&self.pod), error = status.message(), "runtime does not answer");
                return Round::Wait(Some(Timestamp::now() + RETRY));
            }
        };
        self.memory.probes.retain(|id, _| observed.by_id(id).is_some());
        let mut plan = self.plan(&observed);
        let status = self.status(&observed, &plan);
        self.announce(&mut plan, &observed);
        self.update_probers(&observed, &status);
        let withheld = if self.is_replacing(&plan) {
            Some(status)
        } else {
            self.reporter.report(&self.pod, status, self.is_removed);
            None
        };
        if plan.is_done && self.is_removed && self.memory.is_forgotten {
            return Round::End;
        }
        self.carry_out(plan, &observed, withheld).await
    }

    /// Whether the plan starts the successor of a container that was killed for it, or its image is being pulled. It is one
    /// act, whose middle the status does not show (upstream: one SyncPod does all of it): the pod would cease to be ready
    /// for a moment, or seem to have ended.
    fn is_replacing(&self, plan: &Plan) -> bool {
        let asked = |name: &String| self.memory.containers.get(name).is_some_and(|known| known.restart_asked);
        let is_pulling = self.memory.containers.values().any(|known| known.restart_asked && known.is_pulling);
        let starts = plan.steps.iter().any(|step| matches!(step, Step::Start { name, .. } if asked(name)));
        starts || (is_pulling && self.memory.stopping_since.is_none())
    }

    fn plan(&mut self, observed: &Observed) -> Plan {
        let now = Timestamp::now();
        let last = self.reporter.latest();
        let is_terminal = self.rejected.is_some() || pod::is_terminal_phase(last.phase.as_deref());
        let is_stopping = self.pod.metadata.deletion_timestamp.is_some()
            || self.is_removed
            || self.memory.evicted.is_some();
        if is_stopping {
            self.memory.stopping_since.get_or_insert(now);
        }
        plan::plan(&plan::Input {
            pod: &self.pod,
            observed,
            memory: &self.memory,
            started_at: last.start_time.as_ref().map(|time| time.0),
            is_removed: self.is_removed,
            is_terminal,
            now,
        })
    }

    fn status(&self, observed: &Observed, plan: &Plan) -> PodStatus {
        let now = Timestamp::now();
        if let Some(verdict) = &self.rejected {
            return status::rejected(&self.pod, verdict, now);
        }
        // Once everything is removed there is nothing to look at: the last status stays.
        if self.memory.is_forgotten {
            return self.reporter.latest().clone();
        }
        status::status(&status::Input {
            pod: &self.pod,
            observed,
            memory: &self.memory,
            plan,
            old: self.reporter.latest(),
            host_ips: &self.host.facts.host_ips,
            runtime_name: &self.host.runtime_name,
            is_stopped: self.memory.is_torn_down,
            now,
        })
    }

    /// A status that was `withheld` is told after all if the plan ends before its time.
    async fn carry_out(&mut self, plan: Plan, observed: &Observed, withheld: Option<PodStatus>) -> Round {
        if plan.steps.is_empty() {
            return Round::Wait(plan.wake_at);
        }
        for step in plan.steps {
            // The end of the containers must be known before their traces are removed.
            if matches!(step, Step::Forget | Step::Delete)
                && !self.is_removed
                && !self.reporter.flush(&self.pod).await
            {
                return Round::Wait(Some(Timestamp::now() + RETRY));
            }
            if step == Step::TearDown {
                // A pod that has ended needs no objects any more.
                self.held = Held::default();
            }
            if let Err(error) = self.actor(observed).act(step).await {
                tracing::warn!(pod = %pod::full_name(&self.pod), %error, "a step failed, will be tried again");
                if let Some(status) = withheld {
                    self.reporter.report(&self.pod, status, self.is_removed);
                }
                return Round::Wait(Some(Timestamp::now() + RETRY));
            }
        }
        Round::Again
    }
}

async fn sleep_until(at: Option<Timestamp>) {
    match at {
        None => std::future::pending().await,
        Some(at) => {
            let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO);
            tokio::time::sleep(left).await;
        }
    }
}
