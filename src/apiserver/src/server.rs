//! What all requests share. Made once; nothing in it changes but through its own locks.

use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::IPAddress;
use k8s_openapi::api::rbac::v1::PolicyRule;
use store::{Range, Store};
use tokio_util::sync::CancellationToken;

use crate::admission::{self, Plugin};
use crate::chain::authenticate::service_account_token::Tokens;
use crate::chain::authorize::node::NodePods;
use crate::chain::in_flight::InFlight;
use crate::discovery::Discovery;
use crate::encryption::Encryption;
use crate::health::Health;
use crate::kubelet_proxy::Kubelets;
use crate::mirror::Mirror;
use crate::negotiate::Forms;
use crate::rbac::{Rules, node_rules};
use crate::registry::Registry;
use crate::serve::peer::PeerVerifier;
use crate::special::service_addresses::Addresses;
use crate::{Config, Error, Operations, VersionInfo};

/// The API server's parts.
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) discovery: Discovery,
    pub(crate) rbac: Arc<Mirror<Rules>>,
    pub(crate) node_pods: Arc<Mirror<NodePods>>,
    pub(crate) node_rules: Vec<PolicyRule>,
    pub(crate) tokens: Tokens,
    pub(crate) peers: PeerVerifier,
    pub(crate) admission: Vec<Box<dyn Plugin>>,
    pub(crate) addresses: Addresses,
    pub(crate) kubelets: Kubelets,
    pub(crate) health: Health,
    pub(crate) forms: Forms,
    pub(crate) in_flight: InFlight,
    pub(crate) operations: Operations,
    pub(crate) encryption: Arc<Encryption>,
    pub(crate) version: VersionInfo,
    pub(crate) advertise: std::net::SocketAddr,
    pub(crate) is_one_of_several: bool,
    pub(crate) service_cidr: IpNet,
    /// Cancelled when the server drains: watches end.
    pub(crate) draining: CancellationToken,
}

impl Server {
    /// Puts the parts together; reads and writes nothing yet.
    pub(crate) fn new(config: Config) -> Result<Server, Error> {
        let Config {
            store,
            advertise,
            is_one_of_several,
            service_cidr,
            service_account,
            client_ca,
            kubelet_client,
            version,
            event_ttl: _,
            encryption,
            operations,
        } = config;
        let registry = Registry::builtin();
        Ok(Server {
            discovery: Discovery::of(&registry, advertise),
            rbac: Mirror::new(store.clone(), Rules::ranges()),
            node_pods: Mirror::new(store.clone(), vec![Range::resource("", "pods")]),
            node_rules: node_rules(),
            tokens: Tokens::new(&service_account)?,
            peers: PeerVerifier::new(&client_ca)?,
            admission: admission::plugins(),
            addresses: Addresses::new(store.clone(), service_cidr, registry.of::<IPAddress>().clone()),
            kubelets: Kubelets::new(&kubelet_client)?,
            health: Health::default(),
            forms: Forms::default(),
            in_flight: InFlight::default(),
            draining: CancellationToken::new(),
            operations,
            encryption,
            registry,
            store,
            version,
            advertise,
            is_one_of_several,
            service_cidr,
        })
    }
}
