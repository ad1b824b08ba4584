//! Several nodes on one switch, and a machine outside the cluster that is on it, too.

use std::sync::Arc;

use network::Backend;
use serde_json::json;
use testing::Api;

use crate::{
    namespace::Namespace,
    node::{Node, Place},
};

/// The outside machine.
pub(crate) const OUTSIDE: &str = "192.0.2.254";

pub(crate) struct Site {
    pub(crate) outside: Arc<Namespace>,
    pub(crate) api: Api,
    backend: Backend,
}

impl Site {
    /// A switch without nodes.
    pub(crate) async fn new(backend: Backend) -> Self {
        let outside = Arc::new(Namespace::new());
        outside.command("ip link add switch type bridge").await;
        outside.command(&format!("ip address add {OUTSIDE}/24 dev switch")).await;
        outside.command("ip link set switch up").await;
        Self { outside, api: Api::default(), backend }
    }

    /// The node of that number, known to the cluster.
    pub(crate) async fn node(&self, number: u8) -> Node {
        let place = Place {
            name: format!("node-{number}"),
            address: format!("192.0.2.{number}"),
            pods: format!("10.244.{number}.0/24"),
            backend: self.backend,
        };
        let (link, api) = (format!("port{number}"), self.api.clone());
        let node = Node::linked_to(self.outside.clone(), &link, api, place).await;
        self.outside.command(&format!("ip link set {link} master switch up")).await;
        node.namespace.command(&format!("ip route add default via {OUTSIDE}")).await;
        self.tell(&node.place);
        node
    }

    /// Makes a node known, or changes what is known of it.
    pub(crate) fn tell(&self, place: &Place) {
        self.api.apply(json!({
            "kind": "Node", "apiVersion": "v1", "metadata": {"name": place.name},
            "spec": {"podCIDR": place.pods, "podCIDRs": [place.pods]},
            "status": {"addresses": [{"type": "InternalIP", "address": place.address}]},
        }));
    }
}
