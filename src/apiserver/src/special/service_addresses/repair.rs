//! Brings services and reservations together again: after a server has died between the two writes, after somebody has
//! deleted an IPAddress, and in a store from before there were reservations (upstream:
//! `pkg/registry/core/service/ipallocator/controller/repairip.go`).

use std::collections::HashMap;

use futures::StreamExt;
use store::Revision;

use super::Addresses;
use super::claims::{Claim, Taken};
use super::reservations::Owner;

/// In how many passes a reservation has to be found without its service before it is given up: the service may be on its
/// way. At one pass each ten seconds, upstream's minute.
const PATIENCE: u32 = 6;
/// Writes at a time, so that the store commits them in few groups.
const AT_A_TIME: usize = 64;

/// Reservations without a service: at which revision, and how often they were found.
pub(super) type Suspects = HashMap<Claim, (Revision, u32)>;

impl Addresses {
    /// One pass: a look at what is in memory, and writes where something is amiss.
    pub(crate) async fn repair(&self) {
        let missing = self.claims.read(missing);
        futures::stream::iter(missing)
            .for_each_concurrent(AT_A_TIME, |(claim, owner)| async move {
                if let Err(error) = self.reservations.make(&claim, &owner, None).await {
                    tracing::warn!(?claim, %error, "a service's reservation could not be made again yet");
                }
            })
            .await;
        for (claim, revision) in self.given_up() {
            tracing::info!(?claim, "a reservation without a service is given up");
            self.reservations.release(&claim, revision).await;
        }
    }

    /// Reservations that have been without a service for long enough.
    fn given_up(&self) -> Vec<(Claim, Revision)> {
        let mut leaked = self.claims.read(leaked);
        leaked.retain(|(claim, _)| !self.claims.is_held(claim));
        let mut suspects = self.suspects.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let counted = |(claim, revision): (Claim, Revision)| {
            let before =
                suspects.get(&claim).filter(|(at, _)| *at == revision).map_or(0, |(_, count)| *count);
            (claim, (revision, before + 1))
        };
        let found: Suspects = leaked.into_iter().map(counted).collect();
        let ripe = found.iter().filter(|(_, (_, count))| *count >= PATIENCE);
        let ripe = ripe.map(|(claim, (revision, _))| (claim.clone(), *revision)).collect();
        *suspects = found;
        ripe
    }
}

/// What services have without a reservation.
fn missing(taken: &Taken) -> Vec<(Claim, Owner)> {
    let services = taken.services();
    services
        .flat_map(|(key, uid, claims)| {
            let without = claims.iter().filter(|claim| taken.reserved(claim).is_none());
            without.map(|claim| (claim.clone(), Owner { key: key.clone(), uid: uid.to_owned() }))
        })
        .collect()
}

/// The allocator's reservations of which no service knows.
fn leaked(taken: &Taken) -> Vec<(Claim, Revision)> {
    let managed = taken.reservations().filter(|(_, reserved)| reserved.is_managed);
    managed
        .filter(|(claim, reserved)| taken.owner(claim) != reserved.service.as_ref())
        .map(|(claim, reserved)| (claim.clone(), reserved.revision))
        .collect()
}
