//! Lets a ServiceCIDR that is being deleted go, once no address of a service is left without a range by it (upstream
//! `pkg/controller/servicecidrs`).
//!
//! Keys are ServiceCIDRs. Never says of one that it is ready: addresses are taken from the API server's own range alone,
//! of which it says so itself.

use std::{net::IpAddr, sync::Arc};

use client::{Informer, Queue, Requeue};
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use machinery::meta;
use serde_json::json;

use crate::{Context, Error, feed::feed, ignore_absent};

const ACCOUNT: &str = "service-cidrs-controller";
const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator.k8s.io";
const NEEDED: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let (ranges, addresses) = (cx.informers.of::<ServiceCIDR>(), cx.informers.of::<IPAddress>());
    let api = Api::<ServiceCIDR>::all(cx.client(ACCOUNT));
    ranges.synced().await;
    addresses.synced().await;

    let queue = Queue::<String>::named("service_cidr");
    // Another range, or an address that goes, may be what one that is being deleted waits for.
    let leaving = |ranges: Informer<ServiceCIDR>| move || leaving(&ranges.list());
    let (by_range, by_address) = (leaving(ranges.clone()), leaving(ranges.clone()));
    feed(&ranges, &queue, move |_| by_range());
    feed(&addresses, &queue, move |_| by_address());

    let sync = |name: String| {
        let range = ranges.get("", &name);
        let step = range.as_ref().and_then(|range| plan(range, &ranges.list(), &addresses.list()));
        let api = api.clone();
        async move {
            match range.zip(step) {
                Some((range, step)) => apply(&api, &range, step).await.map(|()| Requeue::No),
                None => Ok(Requeue::No),
            }
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

/// The names of the ranges that are being deleted.
fn leaving(ranges: &[Arc<ServiceCIDR>]) -> Vec<String> {
    let leaving = ranges.iter().filter(|range| range.metadata.deletion_timestamp.is_some());
    leaving.filter_map(|range| range.metadata.name.clone()).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Take the finalizer away.
    Release,
    /// Say why it stays.
    Explain,
}

/// What to do about a range.
fn plan(range: &ServiceCIDR, ranges: &[Arc<ServiceCIDR>], addresses: &[Arc<IPAddress>]) -> Option<Step> {
    let meta = &range.metadata;
    if meta.deletion_timestamp.is_none() || !meta.finalizers.iter().flatten().any(|own| own == FINALIZER) {
        return None;
    }
    let others = ranges.iter().filter(|other| other.metadata.name != meta.name);
    let others: Vec<IpNet> = others.flat_map(|other| blocks(other)).collect();
    if !is_needed(&blocks(range), &others, addresses) {
        return Some(Step::Release);
    }
    let conditions = range.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_explained = conditions.into_iter().any(|told| told.type_ == "Ready" && told.message == NEEDED);
    (!is_explained).then_some(Step::Explain)
}

fn blocks(range: &ServiceCIDR) -> Vec<IpNet> {
    let blocks = range.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    blocks.filter_map(|block| block.parse().ok()).collect()
}

/// Whether a service's address would be in no range any more. Where larger ranges have all of it, none would.
fn is_needed(own: &[IpNet], others: &[IpNet], addresses: &[Arc<IPAddress>]) -> bool {
    if own.iter().all(|block| others.iter().any(|other| other.contains(block))) {
        return false;
    }
    let services = addresses.iter().filter(|address| {
        let labels = address.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|manager| manager == ALLOCATOR)
    });
    let mut used = services.filter_map(|address| address.metadata.name.as_deref()?.parse().ok());
    used.any(|ip: IpAddr| {
        own.iter().any(|block| has(block, ip)) && !others.iter().any(|block| has(block, ip))
    })
}

/// Whether services may have this address out of a block: not the network's and, for IPv4, not the broadcast address.
fn has(block: &IpNet, ip: IpAddr) -> bool {
    let is_broadcast = ip.is_ipv4() && ip == block.broadcast();
    block.contains(&ip) && ip != block.network() && !is_broadcast
}

async fn apply(api: &Api<ServiceCIDR>, range: &ServiceCIDR, step: Step) -> Result<(), Error> {
    let meta = &range.metadata;
    let name = meta.name.as_deref().unwrap_or_default();
    let params = PatchParams::default();
    let outcome = match step {
        Step::Release => {
            let kept: Vec<&String> =
                meta.finalizers.iter().flatten().filter(|own| *own != FINALIZER).collect();
            let change = json!({"resourceVersion": meta.resource_version, "finalizers": kept});
            api.patch(name, &params, &Patch::Merge(json!({"metadata": change}))).await
        }
        Step::Explain => {
            let conditions = explained(range);
            let change = json!({
                "metadata": {"resourceVersion": meta.resource_version},
                "status": {"conditions": conditions},
            });
            api.patch_status(name, &params, &Patch::Merge(change)).await
        }
    };
    ignore_absent(outcome)
}

/// The range's conditions with the one that says why it stays.
fn explained(range: &ServiceCIDR) -> Vec<Condition> {
    let conditions = range.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut conditions: Vec<Condition> =
        conditions.into_iter().filter(|condition| condition.type_ != "Ready").collect();
    conditions.push(Condition {
        type_: "Ready".to_owned(),
        status: "False".to_owned(),
        reason: "Terminating".to_owned(),
        message: NEEDED.to_owned(),
        last_transition_time: meta::now(),
        observed_generation: None,
    });
    conditions
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::ServiceCIDRSpec;
    use kube::api::ObjectMeta;

    use super::*;

    fn range(name: &str, block: &str) -> ServiceCIDR {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            finalizers: Some(vec![FINALIZER.to_owned()]),
            deletion_timestamp: Some(meta::now()),
            ..ObjectMeta::default()
        };
        let spec = Some(ServiceCIDRSpec { cidrs: Some(vec![block.to_owned()]) });
        ServiceCIDR { metadata, spec, status: None }
    }

    fn address(ip: &str, manager: &str) -> Arc<IPAddress> {
        let labels = Some([(MANAGED_BY.to_owned(), manager.to_owned())].into());
        let metadata = ObjectMeta { name: Some(ip.to_owned()), labels, ..ObjectMeta::default() };
        Arc::new(IPAddress { metadata, ..IPAddress::default() })
    }

    fn check(others: &[&str], addresses: &[Arc<IPAddress>], expected: Step) {
        let own = range("own", "10.96.0.0/16");
        let mut ranges = vec![Arc::new(own.clone())];
        ranges.extend(others.iter().map(|block| Arc::new(range(block, block))));
        assert_eq!(plan(&own, &ranges, addresses), Some(expected), "{others:?}");
    }

    #[test]
    fn a_range_goes_when_no_service_has_an_address_of_it_alone() {
        let used = [address("10.96.0.1", ALLOCATOR)];
        check(&[], &[], Step::Release);
        check(&[], &used, Step::Explain);
        check(&[], &[address("10.96.0.1", "somebody")], Step::Release);
        check(&[], &[address("10.97.0.1", ALLOCATOR)], Step::Release);
        check(&["10.96.0.0/12"], &used, Step::Release);
        check(&["10.96.0.0/24"], &used, Step::Release);
        check(&["10.96.1.0/24"], &used, Step::Explain);
        // The other range would not give this address.
        check(&["10.96.0.0/31"], &used, Step::Explain);
    }

    #[test]
    fn a_range_that_stays_is_left_alone_and_one_that_waits_says_why_once() {
        let mut own = range("own", "10.96.0.0/16");
        own.status.get_or_insert_default().conditions = Some(explained(&own));
        let used = [address("10.96.0.1", ALLOCATOR)];
        assert_eq!(plan(&own, &[], &used), None);
        own.metadata.deletion_timestamp = None;
        assert_eq!(plan(&own, &[], &[]), None);
    }
}
