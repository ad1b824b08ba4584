//! What a member does while another server orders the writes: publishes the log, watches the owner, takes over.

use super::{EPOCHS, Member, Role};
use crate::EngineError;
use crate::cluster::fall::Fall;
use crate::cluster::ledger::{self, Ledger, Owner, Standing, Tip};
use crate::cluster::tail;
use crate::cluster::watchdog::Step;
use crate::engine::{Batch, Written};
use crate::record;
use crate::recovery::{encode_number, number};

impl Member {
    /// Does what is due; a failure of the engine is for the next look.
    pub(super) fn follow(&mut self) {
        let done = match self.watchdog.next(self.now()) {
            Step::Stand => self.take_over(),
            // What it has seen may be reason enough.
            Step::Look => self.look().and_then(|()| match self.watchdog.next(self.now()) {
                Step::Stand => self.take_over(),
                Step::Look | Step::Wait => Ok(()),
            }),
            // Also what an earlier look could not read: an owner that is there does not tell of it again.
            Step::Wait if self.news => self.look(),
            Step::Wait => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "following the store's owner");
        }
    }

    /// Reads what there is to know and publishes what there is to publish.
    pub(super) fn look(&mut self) -> Result<(), EngineError> {
        let snapshot = self.shared.engine.snapshot();
        let Some(ledger) = ledger::find(&*snapshot)? else {
            self.fall(Fall::Removed);
            return Ok(());
        };
        let horizon = number(&*snapshot, record::HORIZON_KEY)?.unwrap_or_default();
        if horizon > self.shared.tip() {
            // What its watchers have missed cannot be had any more, and the current map has to be read anew.
            self.fall(Fall::Behind);
            return Ok(());
        }
        if ledger.tip.revision < self.shared.tip() {
            self.fall(Fall::Replaced);
            return Ok(());
        }
        self.shared.raise_horizon(horizon);
        if let Some(time_ms) = tail::publish_to(&self.shared, &*snapshot, ledger.tip.revision)? {
            self.time_ms = self.time_ms.max(time_ms);
        }
        self.news = false;
        self.watchdog.saw(ledger.tip, self.now());
        self.recognise(ledger);
        Ok(())
    }

    /// Follows no longer. Whoever watches here would wait for ever, and learns elsewhere what happens.
    fn fall(&self, why: Fall) {
        self.shared.poison(&why.to_string());
        self.shared.close();
        self.role.send_replace(Role::Fallen(why));
    }

    pub(super) fn recognise(&mut self, Ledger { tip, owner, departure }: Ledger) {
        if let Some(departure) = departure {
            return self.stand_back(departure);
        }
        let is_free = tip.standing == Standing::Released;
        if is_free && matches!(*self.role.borrow(), Role::Sealed(_)) {
            self.role.send_replace(Role::Alone);
        }
        let Some(owner) = owner else { return };
        let is_own = owner.secret == self.identity.secret;
        if is_own && self.attempted == Some(tip.epoch) && !is_free {
            self.own(tip);
        } else if !is_own && !is_free {
            let role = Role::Follower(owner);
            self.role.send_if_modified(|old| std::mem::replace(old, role.clone()) != role);
        }
    }

    /// Begins a new epoch, if nothing has happened since the last look.
    pub(super) fn take_over(&mut self) -> Result<(), EngineError> {
        let seen = self.watchdog.seen();
        let epoch = seen.epoch + 1;
        let tip = Tip { epoch, revision: seen.revision, beat: 0, standing: Standing::Held };
        // Whoever else waits for the owner's silence to end in its death tries in the same moment.
        let mut batch = Batch { is_contended: true, ..Batch::default() };
        batch.put(ledger::TIP_KEY, tip.encode());
        batch.put(ledger::OWNER_KEY, Owner { epoch, ..self.identity.clone() }.encode());
        batch.put(ledger::epoch_key(epoch), encode_number(tip.revision));
        if let Some(forgotten) = epoch.checked_sub(EPOCHS) {
            batch.remove(ledger::epoch_key(forgotten));
        }
        self.attempted = Some(epoch);
        match self.shared.engine.write_if(&seen.condition(), batch)? {
            Written::Done => self.own(tip),
            Written::Refused => self.look()?,
        }
        Ok(())
    }

    /// Begins to order the writes: everything before has been published by [`Member::look`].
    pub(super) fn own(&mut self, tip: Tip) {
        assert_eq!(self.shared.tip(), tip.revision, "an owner has published all that was written before it");
        tracing::info!(
            epoch = tip.epoch,
            revision = tip.revision,
            "this server orders the store's writes now"
        );
        self.attempted = None;
        self.tenure = Some(tip);
        self.wrote = self.now();
        self.role.send_replace(Role::Owner(tip.epoch));
    }
}
