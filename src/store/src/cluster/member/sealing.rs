//! What a member does when the state leaves the engine: as the owner it writes that nobody is, and stands back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Member, PAUSE, Role};
use crate::cluster::departure::{DEPARTURE_KEY, Departure};
use crate::cluster::ledger::{self, Standing, Tip};
use crate::engine::{Batch, Written};
use crate::{EngineError, Revision};

/// How long it is tried: others write meanwhile, and the engine may not answer.
const SEALING: Duration = Duration::from_secs(20);

impl Member {
    /// Stops the writes of all servers; everything that was written before has been published here then.
    pub(super) fn seal(&mut self, departure: &Departure) -> Result<Revision, EngineError> {
        let until = self.now() + SEALING;
        loop {
            let failure = match self.try_to_seal(departure) {
                Ok(true) => return Ok(self.shared.tip()),
                Ok(false) => EngineError::new("another server takes over again and again"),
                Err(error) => error,
            };
            let is_ending = self.stopping.load(Ordering::Relaxed);
            if self.now() >= until || is_ending || self.sealed_by_another(departure) {
                return Err(failure);
            }
            self.pace.pause(PAUSE / 4);
        }
    }

    /// One attempt, which may have been done although it failed: the next one looks.
    fn try_to_seal(&mut self, departure: &Departure) -> Result<bool, EngineError> {
        if self.tenure.is_none() {
            self.look()?;
            if let Role::Sealed(found) = &*self.role.borrow() {
                let other = || EngineError::new(format!("its {found} already"));
                return if found.token == departure.token { Ok(true) } else { Err(other()) };
            }
            if self.tenure.is_none() {
                self.take_over()?;
            }
        }
        let Some(tip) = self.tenure.take() else { return Ok(false) };
        // Whatever becomes of the batch: if this server goes on as an owner, then in an epoch that begins behind it.
        self.step_back_from(tip);
        let mut batch = Batch { is_contended: true, ..Batch::default() };
        batch.put(ledger::TIP_KEY, Tip { standing: Standing::Sealed, ..tip }.encode());
        batch.put(DEPARTURE_KEY, departure.encode());
        match self.shared.engine.write_if(&tip.condition(), batch)? {
            Written::Done => {
                self.stand_back(departure.clone());
                Ok(true)
            }
            Written::Refused => Ok(false),
        }
    }

    fn sealed_by_another(&self, departure: &Departure) -> bool {
        matches!(&*self.role.borrow(), Role::Sealed(found) if found.token != departure.token)
    }

    /// Says that nobody orders the writes, and why.
    pub(super) fn stand_back(&self, departure: Departure) {
        let role = Role::Sealed(departure);
        self.role.send_if_modified(|old| {
            let is_new = *old != role;
            if is_new {
                if let Role::Sealed(departure) = &role {
                    tracing::warn!("no server writes to the store: its {departure}");
                }
                *old = role.clone();
            }
            is_new
        });
    }
}
