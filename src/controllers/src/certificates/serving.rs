//! Approves a kubelet's request for its serving certificate where it asks for its own name and addresses only.
//!
//! Upstream leaves this to the administrator, since a node itself says which addresses it has. So an address counts as a
//! node's own only if it is nobody else's: no other node's, not the API server's, no service's. Of names there is one,
//! the node's, and not where it is one of the API's.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use client::{Change, Informer, Key, Queue, Requeue};
use k8s_openapi::api::{
    certificates::v1::CertificateSigningRequest,
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use objects::certificate_request as request;

use super::{approve, is_open, usages};
use crate::{Context, Error, feed::feed};

const ACCOUNT: &str = "kubelet-serving-approver";
const MESSAGE: &str =
    "Auto approving kubelet serving certificate: all names and addresses are the node's own.";

/// Runs the controller until the context is cancelled.
pub(crate) async fn controller(cx: Context) -> Result<(), Error> {
    let cluster = Cluster {
        nodes: cx.informers.of::<Node>(),
        services: cx.informers.of::<Service>(),
        slices: cx.informers.of::<EndpointSlice>(),
    };
    let requests = cx.informers.of::<CertificateSigningRequest>();
    let client = cx.client(ACCOUNT);
    cluster.synced().await;
    requests.synced().await;

    let queue = Queue::<String>::named("certificate_serving_approval");
    feed(&requests, &queue, |change| match change {
        Change::Applied { new, .. } if is_for_us(new) => new.metadata.name.clone(),
        _ => None,
    });
    // A kubelet asks before its node is known, or before its addresses are.
    let waiting = requests.clone();
    feed(&cluster.nodes, &queue, move |change| {
        let Change::Applied { new: node, .. } = change else { return vec![] };
        let asked = waiting.list().into_iter().filter(|csr| is_for_us(csr) && is_by(csr, node));
        asked.filter_map(|csr| csr.metadata.name.clone()).collect()
    });

    let sync = |name: String| {
        let request = requests.get_key(&Key::new("", name)).filter(|csr| is_for_us(csr));
        let granted = request.filter(|csr| {
            let addresses = cluster.as_seen_by(csr);
            // A node that has just joined has not said yet which addresses it has.
            let verdict = if addresses.own.is_empty() { return false } else { plan(csr, &addresses) };
            if let Err(why) = &verdict {
                tracing::info!(request = ?csr.metadata.name, why, "a serving certificate is not approved");
            }
            verdict.is_ok()
        });
        let client = client.clone();
        async move {
            if let Some(csr) = granted {
                approve(&client, (*csr).clone(), MESSAGE).await?;
            }
            Ok::<_, Error>(Requeue::No)
        }
    };
    client::work(queue, 1, sync, cx.cancel.clone()).await;
    Ok(())
}

fn is_for_us(csr: &CertificateSigningRequest) -> bool {
    csr.spec.signer_name == request::KUBELET_SERVING && is_open(csr)
}

fn is_by(csr: &CertificateSigningRequest, node: &Node) -> bool {
    let name = csr.spec.username.as_deref().and_then(|user| user.strip_prefix("system:node:"));
    name.is_some() && name == node.metadata.name.as_deref()
}

struct Cluster {
    nodes: Informer<Node>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
}

/// The addresses that matter for one request.
#[derive(Default)]
struct Addresses {
    own: BTreeSet<IpAddr>,
    others: BTreeSet<IpAddr>,
}

impl Cluster {
    async fn synced(&self) {
        self.nodes.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
    }

    fn as_seen_by(&self, csr: &CertificateSigningRequest) -> Addresses {
        let mut seen = Addresses::default();
        for node in self.nodes.list() {
            let list = if is_by(csr, &node) { &mut seen.own } else { &mut seen.others };
            list.extend(of_node(&node));
        }
        for service in self.services.list() {
            let ips = service.spec.iter().flat_map(|spec| spec.cluster_ips.iter().flatten());
            seen.others.extend(ips.filter_map(|ip| ip.parse::<IpAddr>().ok()));
        }
        seen.others.extend(self.api_servers().iter().flat_map(|slice| of_slice(slice)));
        seen
    }

    fn api_servers(&self) -> Vec<Arc<EndpointSlice>> {
        let is_its = |slice: &Arc<EndpointSlice>| {
            let labels = slice.metadata.labels.as_ref();
            labels
                .and_then(|labels| labels.get("kubernetes.io/service-name"))
                .is_some_and(|of| of == "kubernetes")
        };
        self.slices.in_namespace("default").into_iter().filter(is_its).collect()
    }
}

fn of_node(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let addresses = addresses.filter(|address| matches!(address.type_.as_str(), "InternalIP" | "ExternalIP"));
    addresses.filter_map(|address| address.address.parse().ok()).collect()
}

fn of_slice(slice: &EndpointSlice) -> Vec<IpAddr> {
    let addresses = slice.endpoints.iter().flatten().flat_map(|endpoint| &endpoint.addresses);
    addresses.filter_map(|address| address.parse().ok()).collect()
}

/// `Ok` where the request may be approved, else why not.
fn plan(csr: &CertificateSigningRequest, addresses: &Addresses) -> Result<(), String> {
    let requested = request::parse(&csr.spec.request.0)?;
    requested.check_kubelet_serving(usages(csr))?;
    let by = csr.spec.username.as_deref().unwrap_or_default();
    let is_node = csr.spec.groups.iter().flatten().any(|group| group == "system:nodes");
    if by != requested.common_name || !is_node {
        return Err(format!("{by:?} asks for {:?}", requested.common_name));
    }
    let node = requested.node_name().unwrap_or_default();
    if let Some(name) = requested.dns_names.iter().find(|name| *name != node || is_the_apis(name)) {
        return Err(format!("{name:?} is not the node's own name"));
    }
    let is_own =
        |ip: &&IpAddr| addresses.own.contains(ip) && !addresses.others.contains(ip) && !ip.is_loopback();
    match requested.ip_addresses.iter().find(|ip| !is_own(ip)) {
        Some(ip) => Err(format!("{ip} is not an address of the node alone")),
        None => Ok(()),
    }
}

/// Names under which the API itself is reached.
fn is_the_apis(name: &str) -> bool {
    name == "localhost" || name == "kubernetes" || name.starts_with("kubernetes.default")
}

#[cfg(test)]
mod tests {
    use super::{super::testing, *};

    fn check(node: &str, names: &[&str], others: &[&str], expected: Result<(), &str>) {
        let csr = testing::of_node(node, request::KUBELET_SERVING, "server auth", names);
        let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        let addresses = Addresses { own: ips(&["192.0.2.1", "127.0.0.1"]), others: ips(others) };
        assert_eq!(plan(&csr, &addresses), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_nodes_own_name_and_addresses_are_approved() {
        check("a", &["a", "192.0.2.1"], &["192.0.2.2"], Ok(()));
        check("a", &["192.0.2.1"], &[], Ok(()));
    }

    #[test]
    fn what_is_somebody_elses_is_not() {
        check("a", &["b", "192.0.2.1"], &[], Err("\"b\" is not the node's own name"));
        check("a", &["192.0.2.9"], &[], Err("192.0.2.9 is not an address of the node alone"));
        check("a", &["192.0.2.1"], &["192.0.2.1"], Err("192.0.2.1 is not an address of the node alone"));
        check("a", &["127.0.0.1"], &[], Err("127.0.0.1 is not an address of the node alone"));
        check(
            "kubernetes.default.svc",
            &["kubernetes.default.svc"],
            &[],
            Err("\"kubernetes.default.svc\" is not the node's own name"),
        );
    }

    #[test]
    fn nobody_asks_for_another() {
        let mut csr = testing::of_node("a", request::KUBELET_SERVING, "server auth", &["a"]);
        csr.spec.username = Some("system:node:b".into());
        let refused = plan(&csr, &Addresses::default()).unwrap_err();
        assert_eq!(refused, "\"system:node:b\" asks for \"system:node:a\"");
        csr.spec.username = Some("system:node:a".into());
        csr.spec.groups = None;
        plan(&csr, &Addresses::default()).unwrap_err();
    }
}
