//! Service `default/kubernetes` leads to every server of the cluster that lives (upstream's lease endpoint reconciler,
//! `pkg/controlplane/reconcilers/lease.go`), where several share a store.
//!
//! Each keeps a Lease `kube-system/apiserver-<hash>`, as upstream's do, with its address in an annotation. A server whose
//! lease stands still for 15 s by the clock of whoever looks is left out, one that stops takes itself out. Nobody else
//! writes these endpoints then; a server that has its store for itself keeps them otherwise (`apiserver/src/bootstrap.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver::bootstrap::endpoints as new;
use client::answer;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use machinery::names::label_value;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const NAME: &str = "kubernetes";
const IDENTITY: (&str, &str) = ("apiserver.kubernetes.io/identity", "kube-apiserver");
const ADDRESS_ANNOTATION: &str = "coxswain.io/address";
/// Upstream's `--endpoint-reconciler-type=lease`: how often a server renews, and when it counts as gone.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
const GONE_AFTER: Duration = Duration::from_secs(15);

/// What one server does for the endpoints.
#[derive(Clone)]
pub(super) struct Reconciler {
    pub(super) client: Client,
    /// Where pods and nodes reach this server.
    pub(super) address: SocketAddr,
    pub(super) host: String,
    /// Outlives a failure: who has been silent must not count as new.
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// When each lease was last seen to change.
#[derive(Default)]
pub(super) struct Seen(BTreeMap<String, (Option<MicroTime>, Instant)>);

impl Reconciler {
    /// Keeps the endpoints true until cancelled.
    pub(super) async fn run(self, cancel: CancellationToken) -> kube::Result<()> {
        loop {
            self.renew().await?;
            self.write(&self.alive().await?).await?;
            if cancel.run_until_cancelled(tokio::time::sleep(RENEWED_EVERY)).await.is_none() {
                break;
            }
        }
        self.api().delete(&self.lease_name(), &DeleteParams::default()).await?;
        self.write(&self.alive().await?).await
    }

    async fn alive(&self) -> kube::Result<BTreeSet<SocketAddr>> {
        let leases = self.leases().await?;
        Ok(self.seen.lock().unwrap_or_else(PoisonError::into_inner).alive(&leases, Instant::now()))
    }

    fn api(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), "kube-system")
    }

    fn lease_name(&self) -> String {
        format!("apiserver-{}", hex::encode(&Sha256::digest(&self.host)[..13]))
    }

    async fn leases(&self) -> kube::Result<Vec<Lease>> {
        let ours = ListParams::default().labels(&format!("{}={}", IDENTITY.0, IDENTITY.1));
        Ok(self.api().list(&ours).await?.items)
    }

    async fn renew(&self) -> kube::Result<()> {
        let (api, name, lease) = (self.api(), self.lease_name(), self.lease());
        match api.patch(&name, &PatchParams::default(), &Patch::Merge(&lease)).await {
            Err(error) if answer::is_not_found(&error) => api.create(&PostParams::default(), &lease).await,
            renewed => renewed,
        }
        .map(drop)
    }

    fn lease(&self) -> Lease {
        // As upstream labels it, where a machine's name can be a label.
        let host = Some(("kubernetes.io/hostname", self.host.as_str()));
        let host = host.filter(|(_, host)| label_value(host).is_empty());
        let labels = [IDENTITY].into_iter().chain(host);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.lease_name()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
                annotations: Some([(ADDRESS_ANNOTATION.to_owned(), self.address.to_string())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.host.clone()),
                lease_duration_seconds: i32::try_from(GONE_AFTER.as_secs()).ok(),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Makes the endpoints those of the servers at `alive` that listen at this one's port, as upstream's all do.
    async fn write(&self, alive: &BTreeSet<SocketAddr>) -> kube::Result<()> {
        let addresses: Vec<IpAddr> =
            alive.iter().filter(|at| at.port() == self.address.port()).map(SocketAddr::ip).collect();
        let api = Api::<Endpoints>::namespaced(self.client.clone(), "default");
        let present = api.get_opt(NAME).await?;
        let is_present = present.is_some();
        if let Some(wanted) = endpoints(present, new::endpoints(self.address), &addresses) {
            put(&api, is_present, &wanted).await?;
        }
        let api = Api::<EndpointSlice>::namespaced(self.client.clone(), "default");
        let present = api.get_opt(NAME).await?;
        let is_present = present.is_some();
        if let Some(wanted) = slice(present, new::slice(self.address), &addresses) {
            put(&api, is_present, &wanted).await?;
        }
        Ok(())
    }
}

/// Replaces what is present, or creates what is not.
async fn put<K>(api: &Api<K>, is_present: bool, wanted: &K) -> kube::Result<()>
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let parameters = PostParams::default();
    let outcome = match is_present {
        true => api.replace(NAME, &parameters, wanted).await,
        false => api.create(&parameters, wanted).await,
    };
    match outcome {
        // Another server wrote at the same moment: it knows as much, and the next round compares anew.
        Err(error) if !answer::is_conflict(&error) && !answer::is_already_exists(&error) => Err(error),
        _ => Ok(()),
    }
}

impl Seen {
    /// The addresses of those whose leases moved lately. One that is seen for the first time counts as alive.
    fn alive(&mut self, leases: &[Lease], now: Instant) -> BTreeSet<SocketAddr> {
        let before = std::mem::take(&mut self.0);
        let mut alive = BTreeSet::new();
        for lease in leases {
            let name = lease.metadata.name.clone().unwrap_or_default();
            let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
            let since =
                before.get(&name).filter(|(last, _)| *last == renewed).map_or(now, |(_, since)| *since);
            if now < since + GONE_AFTER {
                alive.extend(address(lease));
            }
            self.0.insert(name, (renewed, since));
        }
        alive
    }
}

fn address(lease: &Lease) -> Option<SocketAddr> {
    lease.metadata.annotations.as_ref()?.get(ADDRESS_ANNOTATION)?.parse().ok()
}

/// The endpoints with these addresses, made of `fresh` ones where there are none; `None` where they have them.
fn endpoints(present: Option<Endpoints>, fresh: Endpoints, addresses: &[IpAddr]) -> Option<Endpoints> {
    let own = fresh.subsets.iter().flatten().next().and_then(|subset| subset.ports.clone());
    let address = |ip: &IpAddr| EndpointAddress { ip: ip.to_string(), ..EndpointAddress::default() };
    let subset = EndpointSubset {
        addresses: Some(addresses.iter().map(address).collect()),
        ports: own,
        not_ready_addresses: None,
    };
    let subsets = (!addresses.is_empty()).then(|| vec![subset]);
    match present {
        Some(present) if present.subsets == subsets => None,
        present => Some(Endpoints { subsets, ..present.unwrap_or(fresh) }),
    }
}

/// The slice with these addresses, made of a `fresh` one where there is none; `None` where it has them.
fn slice(
    present: Option<EndpointSlice>,
    fresh: EndpointSlice,
    addresses: &[IpAddr],
) -> Option<EndpointSlice> {
    let ready = EndpointConditions { ready: Some(true), ..EndpointConditions::default() };
    let endpoint = |ip: &IpAddr| Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(ready.clone()),
        ..Endpoint::default()
    };
    let wanted: BTreeSet<String> = addresses.iter().map(IpAddr::to_string).collect();
    let held = |slice: &EndpointSlice| -> BTreeSet<String> {
        slice.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect()
    };
    match present {
        Some(present) if held(&present) == wanted => None,
        present => Some(EndpointSlice {
            endpoints: Some(addresses.iter().map(endpoint).collect()),
            ..present.unwrap_or(fresh)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(name: &str, address: &str, renewed: i64) -> Lease {
        let mut lease = Lease::default();
        lease.metadata.name = Some(name.into());
        lease.metadata.annotations = Some([(ADDRESS_ANNOTATION.to_owned(), address.to_owned())].into());
        let renew_time = Some(MicroTime(Timestamp::from_second(renewed).unwrap()));
        lease.spec = Some(LeaseSpec { renew_time, ..LeaseSpec::default() });
        lease
    }

    #[test]
    fn a_server_whose_lease_stands_still_is_left_out_until_it_moves() {
        let (start, mut seen) = (Instant::now(), Seen::default());
        let mut check = |second: u64, renewed: i64, expected: &[&str]| {
            // The second server's clock is a century off, which nobody minds.
            let leases = [lease("a", "192.0.2.1:6443", renewed), lease("b", "192.0.2.2:6443", 4_000_000_000)];
            let alive = seen.alive(&leases, start + Duration::from_secs(second));
            assert_eq!(
                alive.iter().map(ToString::to_string).collect::<Vec<_>>(),
                expected,
                "after {second} s"
            );
        };
        check(0, 0, &["192.0.2.1:6443", "192.0.2.2:6443"]);
        check(14, 14, &["192.0.2.1:6443", "192.0.2.2:6443"]);
        check(15, 14, &["192.0.2.1:6443"]);
        check(29, 14, &[]);
        check(30, 30, &["192.0.2.1:6443"]);
    }

    #[test]
    fn only_what_differs_is_written_and_what_is_missing_is_made() {
        let at = "192.0.2.1:6443".parse().unwrap();
        let addresses: Vec<IpAddr> = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).into();
        let next = |present, addresses: &[IpAddr]| endpoints(present, new::endpoints(at), addresses);
        let one = next(None, &addresses[..1]).unwrap();
        assert!(next(Some(one.clone()), &addresses[..1]).is_none());
        let none = next(Some(one), &[]).unwrap();
        assert!(none.subsets.is_none());
        let both = next(Some(none), &addresses).unwrap().subsets.unwrap().remove(0);
        assert_eq!((both.addresses.unwrap().len(), both.ports.unwrap()[0].port), (2, 6443));
        let next = |present, addresses: &[IpAddr]| slice(present, new::slice(at), addresses);
        let one = next(None, &addresses[..1]).unwrap();
        assert!(next(Some(one.clone()), &addresses[..1]).is_none());
        assert_eq!(next(Some(one), &addresses).unwrap().endpoints.unwrap().len(), 2);
    }
}
