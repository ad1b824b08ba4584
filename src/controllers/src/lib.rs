//! kube-controller-manager's loops, a file or folder per controller.
//!
//! Every controller reads alike: `controller(cx)` wires watches to keys, `plan(desired, observed, now)` decides and is
//! pure, `apply(plan)` does the I/O through the controller's own identity. Input comes from the shared informers; no
//! controller polls, and none talks to another but through objects.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod context;
mod error;
mod feed;
mod membership;
mod ownership;
mod resources;
mod selecting;
mod selection;
mod trigger_time;

mod bootstrap_signer;
mod certificates;
mod deployment;
mod dns_endpoints;
mod endpoints;
mod endpointslice;
mod garbage_collector;
mod namespace;
mod node_lifecycle;
mod nodeipam;
mod pod_gc;
mod replicaset;
mod root_ca_cert_publisher;
mod service_cidr;
mod serviceaccount;
mod taint_eviction;
mod token_cleaner;

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};

pub use self::certificates::signing::Signer;
use self::certificates::{approving, cleaner, serving, signing};
pub use self::context::{ClientFor, Context};
pub use self::dns_endpoints::DNS_PORT_ANNOTATION;
use self::error::{Error, ignore_absent};
pub use self::selection::{Selection, UnknownController};

/// One control loop.
struct Controller {
    /// Upstream's name, as `--controllers` has it.
    name: &'static str,
    /// Runs it until the context is cancelled.
    run: fn(Context) -> BoxFuture<'static, Result<(), Error>>,
}

macro_rules! controllers {
    ($($name:literal => $module:ident),* $(,)?) => {
        &[$(Controller { name: $name, run: |cx| $module::controller(cx).boxed() }),*]
    };
}

/// Every controller, in the order they are started.
fn all() -> &'static [Controller] {
    controllers! {
        "namespace-controller" => namespace,
        "serviceaccount-controller" => serviceaccount,
        "root-ca-certificate-publisher-controller" => root_ca_cert_publisher,
        "bootstrap-signer-controller" => bootstrap_signer,
        "token-cleaner-controller" => token_cleaner,
        "certificatesigningrequest-signing-controller" => signing,
        "certificatesigningrequest-approving-controller" => approving,
        "certificatesigningrequest-cleaner-controller" => cleaner,
        "kubelet-serving-certificate-approving-controller" => serving,
        "node-ipam-controller" => nodeipam,
        "node-lifecycle-controller" => node_lifecycle,
        "taint-eviction-controller" => taint_eviction,
        "deployment-controller" => deployment,
        "replicaset-controller" => replicaset,
        "endpoints-controller" => endpoints,
        "endpointslice-controller" => endpointslice,
        "dns-endpoints-controller" => dns_endpoints,
        "pod-garbage-collector-controller" => pod_gc,
        "service-cidr-controller" => service_cidr,
        "garbage-collector-controller" => garbage_collector,
    }
}

/// Runs the selected controllers until the context is cancelled. One that fails or panics is logged and started again.
pub async fn run(cx: Context) {
    let keep = |controller: &'static Controller| {
        let cx = cx.clone();
        async move {
            let start = |cancel| (controller.run)(Context { cancel, ..cx.clone() });
            client::keep_running(controller.name, &cx.cancel, start).await;
        }
    };
    join_all(all().iter().filter(|controller| cx.selection.contains(controller.name)).map(keep)).await;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_controller_has_a_name_of_its_own_as_upstream_writes_it() {
        let names: BTreeSet<&str> = all().iter().map(|controller| controller.name).collect();
        assert_eq!(names.len(), all().len());
        assert!(names.iter().all(|name| name.ends_with("-controller")), "{names:?}");
    }
}
