//! Brings services and reservations together again: after a server has died between the two writes, after somebody has
//! deleted an IPAddress, and in a store from before there were reservations (upstream:
//! `pkg/registry/core/service/ipallocator/controller/repairip.go`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use store::Revision;

use super::Addresses;
use super::claims::{Claim, Taken};
use super::reservations::Owner;

/// For how long a reservation has to be without its service before it is given up: the service may be on its way. Upstream
/// waits as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Writes at a time, so that the store commits them in few groups.
const AT_A_TIME: usize = 64;

/// Reservations without a service: at which revision, and since when.
pub(super) type Suspects = HashMap<Claim, (Revision, Instant)>;

impl Addresses {
    /// One pass: a look at what is in memory, and writes where something is amiss.
    pub(crate) async fn repair(&self) {
        let missing = self.claims.read(missing);
        futures::stream::iter(missing)
            .for_each_concurrent(AT_A_TIME, |(claim, owner)| async move {
                if let Err(error) = self.reservations.make(&claim, &owner).await {
                    tracing::warn!(?claim, %error, "a service's reservation could not be made again yet");
                }
            })
            .await;
        for (claim, revision) in self.given_up() {
            if self.reservations.release(&claim, revision).await {
                tracing::info!(?claim, "a reservation without a service was given up");
            }
        }
    }

    /// Reservations that have been without a service for long enough.
    fn given_up(&self) -> Vec<(Claim, Revision)> {
        let mut leaked = self.claims.read(leaked);
        leaked.retain(|(claim, _)| !self.claims.is_held(claim));
        let mut suspects = self.suspects.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let since = |(claim, revision): (Claim, Revision)| {
            let before = suspects.get(&claim).filter(|(at, _)| *at == revision).map(|(_, since)| *since);
            (claim, (revision, before.unwrap_or(now)))
        };
        let found: Suspects = leaked.into_iter().map(since).collect();
        let ripe = found.iter().filter(|(_, (_, since))| now.duration_since(*since) >= PATIENCE);
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

/// The allocator's reservations of which no service knows. A service that cannot be read here has what is reserved for it.
fn leaked(taken: &Taken) -> Vec<(Claim, Revision)> {
    let managed = taken.reservations().filter(|(_, reserved)| reserved.is_managed);
    managed
        .filter(|(claim, reserved)| taken.owner(claim) != reserved.service.as_ref())
        .filter(|(_, reserved)| {
            !reserved.service.as_ref().is_some_and(|service| taken.is_unreadable(service))
        })
        .map(|(claim, reserved)| (claim.clone(), reserved.revision))
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::{Attributes, Entry, Key, Sealing};

    use super::*;
    use crate::mirror::Index;

    fn entry(key: Key, bytes: &'static str) -> Entry {
        let bytes = Bytes::from_static(bytes.as_bytes());
        Entry {
            key,
            revision: 7,
            created: 7,
            bytes,
            attributes: Attributes::default(),
            sealing: Sealing::Plain,
        }
    }

    #[test]
    fn what_is_reserved_for_a_service_that_cannot_be_read_stays_reserved() {
        let mut taken = Taken::default();
        let port = r#"{"namespace":"default","service":"a","uid":"u"}"#;
        taken.put(&entry(Key::new("coxswain.io", "nodeports", "", "30500"), port));
        let found = vec![(Claim::Port(30500), 7)];
        assert_eq!(leaked(&taken), found, "no service");
        let service = Key::new("", "services", "default", "a");
        // What the store has of an object that it cannot decrypt.
        taken.put(&entry(service.clone(), ""));
        assert_eq!(leaked(&taken), [], "a service that cannot be read");
        taken.put(&entry(service.clone(), r#"{"spec":{"ports":[{"port":80,"nodePort":30500}]}}"#));
        assert_eq!(leaked(&taken), [], "a service that has it");
        taken.put(&entry(service.clone(), r#"{"spec":{"ports":[{"port":80}]}}"#));
        assert_eq!(leaked(&taken), found, "a service that has it no longer");
        taken.put(&entry(service.clone(), ""));
        taken.remove(&service);
        assert_eq!(leaked(&taken), found, "a service that is gone");
    }

    #[test]
    fn a_reservation_that_cannot_be_read_is_in_the_way_and_stays() {
        let mut taken = Taken::default();
        taken.put(&entry(Key::new("networking.k8s.io", "ipaddresses", "", "10.96.3.7"), ""));
        let claim = Claim::Address("10.96.3.7".parse().unwrap());
        assert!(taken.reserved(&claim).is_some());
        assert_eq!(leaked(&taken), []);
    }
}
