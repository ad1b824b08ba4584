//! What a member does while it orders the writes: commits groups under the tip's condition, finds out what became of a
//! batch that was not answered, shows that it is there, and stops when it is not the owner any more.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{DOUBT, Member, PAUSE, Role};
use crate::cluster::ledger::{self, Ledger, Standing, Tip};
use crate::cluster::resolve::{Pending, Verdict, verdict};
use crate::cluster::watchdog::{BEAT, Link, Watchdog};
use crate::engine::{Batch, Written};
use crate::sequencer::Request;
use crate::sequencer::group::Group;
use crate::{CommitError, EngineError, Revision};

impl Member {
    pub(super) fn step_down(&mut self, why: &str) {
        if let Some(tip) = self.tenure.take() {
            tracing::warn!(epoch = tip.epoch, why, "this server orders the store's writes no longer");
            self.step_back_from(tip);
        }
    }

    /// Follows from here on.
    pub(super) fn step_back_from(&mut self, tip: Tip) {
        self.role.send_replace(Role::Alone);
        self.watchdog = Watchdog::new(tip, self.now());
        // As long as nobody else has taken over, the owner that is missed is this server itself.
        self.watchdog.link(Link::Broken);
    }

    /// Commits requests in as many groups as their size demands.
    pub(super) fn commit(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        // Time never runs backwards in the log, whatever the clocks of the servers do.
        let now_ms = shared.options.clock.now().as_millis().try_into().unwrap_or(u64::MAX);
        self.time_ms = self.time_ms.max(now_ms);
        let mut group = Group::new(&shared, self.time_ms, requests.len());
        for request in requests {
            if !group.has_room(&request) {
                self.commit_group(group);
                group = Group::new(&shared, self.time_ms, 1);
            }
            group.add(request);
        }
        self.commit_group(group);
    }

    pub(super) fn commit_group(&mut self, group: Group<'_>) {
        if self.tenure.is_none() {
            return group
                .fail(&CommitError::Unavailable("this server does not own the order of writes".to_owned()));
        }
        // A refusal rests on the current map, which is the present only for an owner; a batch proves that, nothing else.
        if group.only_refuses()
            && let Err(failure) = self.confirm()
        {
            return group.fail(&failure);
        }
        group.commit(|batch, last| self.write(batch, last));
    }

    /// Makes a batch durable, or finds out that it is not.
    pub(super) fn write(&mut self, mut batch: Batch, last: Revision) -> Result<(), CommitError> {
        let Some(tip) = self.tenure else { return Err(deposed()) };
        let (after, until) = (tip.after(last), self.now() + DOUBT);
        let pending = Pending { epoch: tip.epoch, last, may_come: true };
        batch.put(ledger::TIP_KEY, after.encode());
        let measured = self.shared.metrics.commits.start_timer();
        let written = self.shared.engine.write_if(&tip.condition(), batch);
        drop(measured);
        match written {
            Ok(Written::Done) => {
                self.wrote(after);
                Ok(())
            }
            // By what another server wrote; or by itself, if it was sent twice.
            Ok(Written::Refused) => {
                let cause = EngineError::new("it was refused, as where another server takes over");
                self.settle(Pending { may_come: false, ..pending }, until, &cause)
            }
            Err(error) => self.settle(pending, until, &error),
        }
    }

    pub(super) fn wrote(&mut self, tip: Tip) {
        self.wrote = self.now();
        self.tenure = Some(tip);
    }

    /// Finds out what became of a batch; the server owns what it owned before only if that is known in the end.
    pub(super) fn settle(
        &mut self,
        mut pending: Pending,
        until: Duration,
        cause: &EngineError,
    ) -> Result<(), CommitError> {
        tracing::warn!(%cause, last = pending.last, "the outcome of a batch is unknown");
        while self.tenure.is_some() && self.now() < until && !self.stopping.load(Ordering::Relaxed) {
            match self.inquire(&mut pending) {
                Ok(Verdict::Done) => return Ok(()),
                // Whoever asked may ask again; when that is of no use either, this says why.
                Ok(Verdict::Void) => return Err(CommitError::Unavailable(cause.to_string())),
                Ok(Verdict::Open) => {}
                Err(error) => {
                    tracing::debug!(%error, "looking for a batch whose outcome is unknown");
                    self.pace.pause(PAUSE);
                }
            }
        }
        self.step_down("the engine cannot be reached");
        Err(CommitError::Unknown(cause.to_string()))
    }

    /// Looks for the batch, and rewrites the tip where that alone can tell.
    pub(super) fn inquire(&mut self, pending: &mut Pending) -> Result<Verdict, EngineError> {
        let snapshot = self.shared.engine.snapshot();
        let Ledger { tip: seen, owner, .. } = ledger::read(&*snapshot)?;
        if seen.epoch == pending.epoch && owner.is_some_and(|owner| owner.secret != self.identity.secret) {
            // The engine has let two servers begin one epoch. The other one's writes say nothing about this batch.
            self.step_down("another server has begun the same epoch");
            return Err(EngineError::new("another server has begun the same epoch"));
        }
        let next = match (seen.epoch == pending.epoch, seen.standing) {
            (true, Standing::Held) => None,
            // Nobody writes in it any more.
            (true, Standing::Released | Standing::Sealed) => Some(seen.revision),
            (false, _) => Some(ledger::beginning(&*snapshot, pending.epoch + 1)?),
        };
        let verdict = verdict(*pending, &seen, next);
        if verdict == Verdict::Open {
            let mut fence = Batch::default();
            fence.put(ledger::TIP_KEY, seen.beaten().encode());
            pending.may_come = self.shared.engine.write_if(&seen.condition(), fence)? != Written::Done;
        } else if next.is_none() {
            self.wrote(seen);
        }
        if next.is_some() {
            self.step_down("another server took over");
        }
        Ok(verdict)
    }

    /// Makes sure that this server still is the owner. Within its epoch the tip may have been beaten by a beat of its
    /// own that came late.
    pub(super) fn confirm(&mut self) -> Result<(), CommitError> {
        let found = ledger::find(&*self.shared.engine.snapshot());
        let found = found.map_err(|error| CommitError::Unavailable(error.to_string()))?;
        let seen = found.map(|ledger| ledger.tip);
        if let (Some(tip), Some(seen)) = (self.tenure, seen)
            && seen == (Tip { beat: seen.beat, ..tip })
        {
            self.tenure = Some(seen);
            return Ok(());
        }
        self.step_down("another server took over");
        Err(deposed())
    }

    /// Shows that the owner is there, if nothing else has shown it for a while.
    pub(super) fn beat(&mut self) {
        if self.now().saturating_sub(self.wrote) < BEAT {
            return;
        }
        let Some(tip) = self.tenure else { return };
        let until = self.now() + DOUBT;
        let mut batch = Batch::default();
        batch.put(ledger::TIP_KEY, tip.beaten().encode());
        match self.shared.engine.write_if(&tip.condition(), batch) {
            Ok(Written::Done) => self.wrote(tip.beaten()),
            Ok(Written::Refused) => drop(self.confirm()),
            // The next condition has to name the tip as it is, so it is looked for as a batch is.
            Err(error) => {
                let pending = Pending { epoch: tip.epoch, last: tip.revision, may_come: true };
                drop(self.settle(pending, until, &error));
            }
        }
    }

    /// Tells the others that they need not wait.
    pub(super) fn release(&mut self) {
        let Some(tip) = self.tenure.take() else { return };
        let mut batch = Batch::default();
        batch.put(ledger::TIP_KEY, Tip { standing: Standing::Released, ..tip }.encode());
        if let Err(error) = self.shared.engine.write_if(&tip.condition(), batch) {
            tracing::warn!(%error, "the store's ownership could not be released; another server takes over in a while");
        }
    }
}

fn deposed() -> CommitError {
    CommitError::Unavailable("another server took over".to_owned())
}
