//! The node's heartbeat: a Lease in `kube-node-lease`, renewed every ten seconds.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::Node,
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference},
};
use kube::{Api, api::PostParams};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};

use crate::host::Host;

const NAMESPACE: &str = "kube-node-lease";
const RENEW_EVERY: Duration = Duration::from_secs(10);
const DURATION_S: i32 = 40;

/// Renews the lease for ever. `beat` is notified at each heartbeat: the node looks at its own state then, too.
pub(super) async fn keep(host: Arc<Host>, beat: Arc<Notify>) {
    let leases = Api::<Lease>::namespaced(host.client.clone(), NAMESPACE);
    let nodes = Api::<Node>::all(host.client.clone());
    let mut timer = interval(RENEW_EVERY);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Option<Lease> = None;
    loop {
        timer.tick().await;
        known = match renew(&leases, &nodes, &host.config.node_name, known).await {
            Ok(lease) => Some(lease),
            Err(error) => {
                tracing::warn!(%error, "the node's lease could not be renewed");
                None
            }
        };
        beat.notify_one();
    }
}

async fn renew(
    leases: &Api<Lease>,
    nodes: &Api<Node>,
    node: &str,
    known: Option<Lease>,
) -> Result<Lease, kube::Error> {
    let present = match known {
        Some(lease) => Some(lease),
        None => leases.get_opt(node).await?,
    };
    let spec = |old: Option<LeaseSpec>| LeaseSpec {
        holder_identity: Some(node.to_owned()),
        lease_duration_seconds: Some(DURATION_S),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..old.unwrap_or_default()
    };
    match present {
        Some(mut lease) => {
            lease.spec = Some(spec(lease.spec.take()));
            leases.replace(node, &PostParams::default(), &lease).await
        }
        None => {
            // Asked for now: with the UID of a node that was deleted since, the lease would be collected as garbage.
            let owner = nodes.get(node).await?.metadata.uid.map(|uid| OwnerReference {
                api_version: "v1".into(),
                kind: "Node".into(),
                name: node.into(),
                uid,
                ..OwnerReference::default()
            });
            let metadata = ObjectMeta {
                name: Some(node.into()),
                namespace: Some(NAMESPACE.into()),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            };
            let lease = Lease { metadata, spec: Some(spec(None)) };
            leases.create(&PostParams::default(), &lease).await
        }
    }
}
