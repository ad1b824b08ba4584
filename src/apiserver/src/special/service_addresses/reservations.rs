//! Reservations: what makes an address or a node port one service's alone, however many servers share the store.
//!
//! A reservation is an object whose name is what it reserves, and the store has a name once. It is made before the service
//! is stored and given up after the service is gone or has changed. For addresses it is upstream's IPAddress (KEP-1880); node
//! ports, for which upstream has a bitmap that all writers contend for, have a record each. Nobody but
//! [`super::Addresses`] and the repair loop comes here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::{Descriptor, Object};
use k8s_openapi::api::networking::v1::{IPAddress, IPAddressSpec, ParentReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use machinery::{meta, typed};
use serde::{Deserialize, Serialize};
use store::{CommitError, Entry, Key, Precondition, Range, Revision, Store, Value, Write};

use super::claims::Claim;
use crate::verbs::delete;
use crate::verbs::delete::options::DeleteOptions;

const ADDRESSES: (&str, &str) = ("networking.k8s.io", "ipaddresses");
/// Not a kind that is served: only servers read it.
const PORTS: (&str, &str) = ("coxswain.io", "nodeports");
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const MANAGER: &str = "ipallocator.k8s.io";
/// Tells a service from another one that has had its name: a parent reference has no uid.
const SERVICE_UID: &str = "coxswain.io/service-uid";

/// Where reservations are stored.
pub(super) fn ranges() -> Vec<Range> {
    [ADDRESSES, PORTS].map(|(group, resource)| Range::resource(group, resource)).into()
}

/// What a key reserves; `None` for a key that is no reservation's.
pub(super) fn claim(key: &Key) -> Option<Claim> {
    match (key.group(), key.resource()) {
        ADDRESSES => key.name().parse().ok().map(Claim::Address),
        PORTS => key.name().parse().ok().map(Claim::Port),
        _ => None,
    }
}

fn key(claim: &Claim) -> Key {
    match claim {
        Claim::Address(ip) => Key::new(ADDRESSES.0, ADDRESSES.1, "", &ip.to_string()),
        Claim::Port(number) => Key::new(PORTS.0, PORTS.1, "", &number.to_string()),
    }
}

/// A service that has or wants something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) key: Key,
    pub(super) uid: String,
}

/// A stored reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reserved {
    /// `None` where it is for something else than a service, or cannot be read.
    pub(super) service: Option<Key>,
    /// Empty where a server of another make wrote it.
    pub(super) uid: String,
    /// Whether it is the allocator's, and not somebody's own.
    pub(super) is_managed: bool,
    pub(super) revision: Revision,
}

/// The record of a node port.
#[derive(Serialize, Deserialize)]
struct Port {
    namespace: String,
    service: String,
    uid: String,
}

impl Reserved {
    /// Reads a reservation. One that cannot be read is logged; it stays in everybody's way, since nobody can tell for whom it
    /// is, and is never given up here.
    pub(super) fn read(entry: &Entry) -> Reserved {
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::error!(key = entry.key.as_str(), %error, "a stored reservation cannot be read");
            Reserved { service: None, uid: String::new(), is_managed: false, revision: entry.revision }
        };
        if entry.key.group() == PORTS.0 {
            match serde_json::from_slice::<Port>(&entry.bytes) {
                Ok(port) => Reserved {
                    service: Some(service(&port.namespace, &port.service)),
                    uid: port.uid,
                    is_managed: true,
                    revision: entry.revision,
                },
                Err(error) => unreadable(&error),
            }
        } else {
            match typed::from_json::<IPAddress>(&entry.bytes) {
                Ok(address) => Reserved::of_address(&address, entry.revision),
                Err(error) => unreadable(&error),
            }
        }
    }

    /// Whether the allocator made it for this very service, and not for another one that has had its name.
    pub(super) fn is_for(&self, service: &Key, uid: &str) -> bool {
        self.is_managed && self.service.as_ref() == Some(service) && !uid.is_empty() && self.uid == uid
    }

    fn of_address(address: &IPAddress, revision: Revision) -> Reserved {
        let of = |map: Option<&BTreeMap<String, String>>, key| map.and_then(|map| map.get(key)).cloned();
        let parent = &address.spec.parent_ref;
        let is_service =
            parent.group.as_deref().unwrap_or_default().is_empty() && parent.resource == "services";
        let namespace = parent.namespace.as_deref().unwrap_or_default();
        Reserved {
            service: is_service.then(|| service(namespace, &parent.name)),
            uid: of(address.metadata.annotations.as_ref(), SERVICE_UID).unwrap_or_default(),
            is_managed: of(address.metadata.labels.as_ref(), MANAGED_BY).as_deref() == Some(MANAGER),
            revision,
        }
    }
}

fn service(namespace: &str, name: &str) -> Key {
    Key::new("", "services", namespace, name)
}

/// Writes reservations.
pub(super) struct Reservations {
    store: Store,
    address: Arc<Descriptor>,
}

impl Reservations {
    pub(super) fn new(store: Store, address: Arc<Descriptor>) -> Reservations {
        Reservations { store, address }
    }

    /// Reserves a claim; `None` where somebody else was faster.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub(super) async fn make(&self, claim: &Claim, owner: &Owner) -> Result<Option<Revision>, CommitError> {
        self.put(key(claim), Precondition::Absent, self.value(claim, owner)).await
    }

    /// Writes a service's own reservation again as it is, so that whoever gives it up at this moment does not; `None` where
    /// it has changed since that revision.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub(super) async fn renew(
        &self,
        claim: &Claim,
        revision: Revision,
    ) -> Result<Option<Revision>, CommitError> {
        let key = key(claim);
        let Some(entry) = self.store.get(&key) else { return Ok(None) };
        let value = match claim {
            Claim::Address(_) => match self.address.decode_stored(&entry.bytes) {
                Ok(address) => self.encode(&address),
                // It was readable at that revision.
                Err(_) => return Ok(None),
            },
            Claim::Port(_) => Value::whole(entry.bytes.clone()),
        };
        self.put(key, Precondition::Revision(revision), value).await
    }

    async fn put(
        &self,
        key: Key,
        precondition: Precondition,
        value: Value,
    ) -> Result<Option<Revision>, CommitError> {
        match self.store.commit(key, precondition, Write::Put(value)).await {
            Ok(committed) => Ok(Some(committed.entry.revision)),
            Err(CommitError::Exists(_) | CommitError::Conflict(_) | CommitError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives up a reservation, unless it has changed since that revision: an address with finalizers is marked as deleted and
    /// stays somebody's until they are gone. The answer is whether it is gone. What fails is left to the repair loop.
    pub(super) async fn release(&self, claim: &Claim, revision: Revision) -> bool {
        let key = key(claim);
        let Some(entry) = self.store.get(&key).filter(|entry| entry.revision == revision) else {
            return false;
        };
        let released = match claim {
            Claim::Address(_) => self.delete(&entry).await,
            Claim::Port(_) => {
                let write = Write::Delete(Value::whole(entry.bytes.clone()));
                let committed = self.store.commit(key.clone(), Precondition::Revision(revision), write).await;
                committed.map(|_| true)
            }
        };
        match released {
            Ok(is_gone) => is_gone,
            Err(CommitError::Conflict(_) | CommitError::Missing) => false,
            Err(error) => {
                tracing::warn!(key = key.as_str(), %error, "a reservation could not be given up yet");
                false
            }
        }
    }

    /// Deletes an address as a client would who says nothing about how; whether it is gone.
    async fn delete(&self, entry: &Arc<Entry>) -> Result<bool, CommitError> {
        let object = match self.address.decode_stored(&entry.bytes) {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(key = entry.key.as_str(), %error, "a stored reservation cannot be read");
                return Ok(false);
            }
        };
        let plan = delete::plan(&self.address, object, &DeleteOptions::default(), Timestamp::now());
        delete::commit(&self.store, &self.address, entry, plan, false).await.map(|outcome| outcome.gone)
    }

    fn encode(&self, address: &Object) -> Value {
        let (head, tail) = self.address.encode(address);
        Value::new(head.into(), tail.into())
    }

    fn value(&self, claim: &Claim, owner: &Owner) -> Value {
        match claim {
            Claim::Address(ip) => self.encode(&Object::new(address(*ip, owner))),
            Claim::Port(_) => {
                let record = Port {
                    namespace: owner.key.namespace().to_owned(),
                    service: owner.key.name().to_owned(),
                    uid: owner.uid.clone(),
                };
                Value::whole(serde_json::to_vec(&record).expect("strings are JSON").into())
            }
        }
    }
}

fn address(ip: IpAddr, owner: &Owner) -> IPAddress {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let pairs = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    };
    IPAddress {
        metadata: ObjectMeta {
            name: Some(ip.to_string()),
            uid: Some(meta::new_uid()),
            creation_timestamp: Some(meta::now()),
            labels: pairs(&[(FAMILY, family), (MANAGED_BY, MANAGER)]),
            annotations: pairs(&[(SERVICE_UID, &owner.uid)]),
            ..ObjectMeta::default()
        },
        spec: IPAddressSpec {
            parent_ref: ParentReference {
                group: None,
                resource: "services".to_owned(),
                namespace: Some(owner.key.namespace().to_owned()),
                name: owner.key.name().to_owned(),
            },
        },
    }
}
