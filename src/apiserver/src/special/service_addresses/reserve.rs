//! A write of a service and its reservations: made just before the service is stored, given up just after it is not, or
//! no longer has what it had.
//!
//! `write` and the delete verb come here with every object; all but services pass through.

use api::Object;
use machinery::Status;
use machinery::gvk::GroupResource;
use store::{Key, Revision};

use super::Addresses;
use super::claims::{Claim, Hold, Taken};
use super::reservations::Owner;
use crate::write::{Draft, Intent, refused};

/// What a write has reserved, and what the service had before.
#[derive(Default)]
pub(crate) struct Reservation {
    service: Option<Key>,
    made: Vec<(Claim, Revision)>,
    before: Vec<(Claim, Revision)>,
}

/// Reserves what a draft has been given; `None` where another server was faster, so that the write has to choose anew.
pub(crate) async fn reserve(intent: &Intent<'_>, draft: &Draft) -> Result<Option<Reservation>, Status> {
    let mut held = draft.held.iter().filter_map(|held| held.downcast_ref::<Hold>());
    let Some(hold) = held.next().filter(|hold| !hold.dry_run) else {
        return Ok(Some(Reservation::default()));
    };
    let addresses = &intent.call.server.addresses;
    let owner = owner_of(intent, &draft.new);
    let mut reservation = addresses.before(&owner.key);
    for claim in &hold.claims {
        match addresses.claim(claim, &owner).await {
            Ok(Made::Already) => {}
            Ok(Made::Now(revision)) => reservation.made.push((claim.clone(), revision)),
            Ok(Made::Never) => {
                addresses.withdraw(reservation).await;
                // The next choice is to see what was in the way of this one.
                let caught_up = intent.call.server.store.catch_up().await;
                return caught_up
                    .map(|()| None)
                    .map_err(|error| Status::service_unavailable(error.to_string()));
            }
            Err(error) => {
                addresses.withdraw(reservation).await;
                return Err(refused(&error, &GroupResource::new("", "services"), owner.key.name()));
            }
        }
    }
    Ok(Some(reservation))
}

fn owner_of(intent: &Intent<'_>, service: &Object) -> Owner {
    let meta = service.meta();
    let name = meta.name.clone().unwrap_or_default();
    Owner {
        key: crate::verbs::key(intent.kind, &intent.namespace, &name),
        uid: meta.uid.clone().unwrap_or_default(),
    }
}

/// What came of a claim.
enum Made {
    /// It was the service's before.
    Already,
    /// At this revision.
    Now(Revision),
    /// Somebody else has it.
    Never,
}

impl Addresses {
    async fn claim(&self, claim: &Claim, owner: &Owner) -> Result<Made, store::CommitError> {
        let look = |taken: &Taken| {
            let (uid, claims) = taken.service(&owner.key);
            let is_stored = uid == owner.uid && claims.contains(claim);
            (is_stored, taken.reserved(claim).cloned())
        };
        let made = match self.claims.read(look) {
            (_, None) => self.reservations.make(claim, owner).await?,
            // Whoever else has reserved it meanwhile, this write does not change what the service has.
            (true, Some(_)) => return Ok(Made::Already),
            // Left by a write that failed or lost a race.
            (false, Some(reserved)) if reserved.is_for(&owner.key, &owner.uid) => {
                self.reservations.renew(claim, reserved.revision).await?
            }
            (false, Some(_)) => None,
        };
        Ok(made.map_or(Made::Never, Made::Now))
    }

    /// Looks, before a service is written or deleted, at what is reserved for it as it is stored.
    pub(crate) fn before(&self, service: &Key) -> Reservation {
        if (service.group(), service.resource()) != ("", "services") {
            return Reservation::default();
        }
        let before = self.claims.read(|taken| {
            let (uid, claims) = taken.service(service);
            let own = |claim: &Claim| {
                let reserved = taken.reserved(claim)?;
                let is_own = reserved.service.as_ref() == Some(service)
                    && (reserved.uid == uid || reserved.uid.is_empty());
                is_own.then(|| (claim.clone(), reserved.revision))
            };
            claims.iter().filter_map(own).collect()
        });
        Reservation { service: Some(service.clone()), made: Vec::new(), before }
    }

    /// After a write or a deletion: gives up what the service had and has no longer.
    pub(crate) async fn settle(&self, reservation: Reservation) {
        self.give_up(reservation.service, reservation.before).await;
    }

    /// After a write that was refused or starts over: gives up what was reserved for it.
    pub(crate) async fn withdraw(&self, reservation: Reservation) {
        self.give_up(reservation.service, reservation.made).await;
    }

    /// Gives up what the service as it is stored now does not have.
    async fn give_up(&self, service: Option<Key>, claims: Vec<(Claim, Revision)>) {
        let Some(service) = service else { return };
        let kept = self.claims.read(|taken| taken.service(&service).1.to_vec());
        for (claim, revision) in claims {
            if !kept.contains(&claim) {
                self.reservations.release(&claim, revision).await;
            }
        }
    }
}
