//! From HTTP to the store: TLS, authentication, authorization, admission, the verbs, discovery, OpenAPI, and the way to
//! kubelets.
//!
//! Read [`chain`] first, the way of every request, then `write`, the way of every object into the store. Kinds come from
//! `api` and are met only as descriptors in the `registry`; what is not plain create, read, update or delete stands in the
//! table `special`. Look-ups of its own (RBAC, admission) read the store's current state directly.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod body;
pub mod bootstrap;
mod call;
mod chain;
mod discovery;
mod dispatch;
mod encryption;
mod event_expiry;
pub mod health;
mod in_process;
mod kubelet_proxy;
mod metrics;
mod mirror;
mod negotiate;
mod openapi;
mod operations;
mod pod_proxy;
mod query;
mod rbac;
mod registry;
mod serve;
mod server;
mod special;
mod tls;
mod user;
mod verbs;
mod version;
mod websocket;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::client::ResolvesClientCert;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use body::{Body, BoxError};
pub use encryption::{Encryption, EncryptionError};
pub use in_process::InProcess;
pub use k8s_openapi::apimachinery::pkg::version::Info as VersionInfo;
pub use operations::{Operation, Operations};
pub use serve::http_builder;
pub use serve::peer::{Peer, PeerVerifier};
pub use tls::{AnyServer, server_config};
pub use user::{MASTERS, User};

use server::Server;

/// What an API server is made of.
pub struct Config {
    /// The opened store; see [`store_options`].
    pub store: store::Store,
    /// Where clients in the cluster reach this server: the endpoint of the service `default/kubernetes`.
    pub advertise: SocketAddr,
    /// Whether other servers may share the store: then whoever puts this one together keeps the endpoints of
    /// `default/kubernetes`, which are theirs, too.
    pub is_one_of_several: bool,
    /// Where service addresses are taken from.
    pub service_cidr: IpNet,
    /// How service account tokens are signed and verified.
    pub service_account: ServiceAccountKeys,
    /// The CA (PEM) of client certificates.
    pub client_ca: Vec<u8>,
    /// The identity with which kubelets are called.
    pub kubelet_client: KubeletClient,
    /// What `/version` answers.
    pub version: VersionInfo,
    /// How long an event is kept after it was last written.
    pub event_ttl: Duration,
    /// What the store was opened with as [`store::Options::seal`].
    pub encryption: Arc<Encryption>,
    /// What is served beside the API.
    pub operations: Operations,
}

/// How long events are kept where nothing else is asked for: upstream's default of `--event-ttl`.
pub const EVENT_TTL: Duration = Duration::from_secs(60 * 60);

/// How service account tokens are signed and verified.
#[derive(Clone)]
pub struct ServiceAccountKeys {
    /// Private key (PEM, PKCS#8): RSA (RS256) or P-256 (ES256).
    pub signing_key: Vec<u8>,
    /// The `iss` of tokens.
    pub issuer: String,
    /// The audiences that this server is; the first stands in tokens that ask for none.
    pub audiences: Vec<String>,
}

/// The identity with which kubelets are called, and the CA that theirs are checked against.
#[derive(Clone)]
pub struct KubeletClient {
    /// Says at each handshake which client certificate to show.
    pub identity: Arc<dyn ResolvesClientCert>,
    /// The CA of kubelets' serving certificates, PEM.
    pub ca: Vec<u8>,
}

/// Why an API server could not start or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The CA of client certificates cannot be used.
    #[error("the CA of client certificates cannot be used: {0}")]
    ClientCa(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The key that signs service account tokens cannot be used.
    #[error("the key that signs service account tokens cannot be used: {0}")]
    SigningKey(String),
    /// The identity for calling kubelets cannot be used.
    #[error("the identity for calling kubelets cannot be used: {0}")]
    KubeletClient(String),
    /// An object that every cluster has could not be written.
    #[error("cannot write {object}: {cause}")]
    Bootstrap {
        /// Which one.
        object: String,
        /// The API's answer.
        cause: machinery::Status,
    },
}

/// Options for the store that an API server can use: what it extracts from each object, and that nothing is encrypted.
pub fn store_options() -> store::Options {
    let registry = registry::Registry::builtin();
    let seal = Arc::new(Encryption::default());
    store::Options { extract: registry.extract(), seal, ..store::Options::default() }
}

/// An API server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct ApiServer(Arc<Server>);

impl ApiServer {
    /// Makes an API server over a store and writes what every cluster has: the system namespaces, the default roles and
    /// bindings, the service `default/kubernetes`. From then on events expire.
    ///
    /// # Errors
    /// Where a key or certificate cannot be used, or the store does not take the first objects.
    pub async fn new(config: Config) -> Result<ApiServer, Error> {
        let event_ttl = config.event_ttl;
        let server = Arc::new(Server::new(config)?);
        bootstrap::run(&server).await?;
        tokio::spawn(event_expiry::follow(server.clone(), event_ttl));
        tokio::spawn(server.encryption.clone().follow(server.store.clone()));
        Ok(ApiServer(server))
    }

    /// The service without sockets and TLS, every request being `user`'s: for `kube::Client::new`.
    pub fn in_process(&self, user: User) -> InProcess {
        InProcess::new(self.0.clone(), user)
    }

    /// Serves HTTPS until `cancel`, then drains: watches end, requests in flight finish. For `tls` see
    /// [`server_config`].
    ///
    /// # Errors
    /// None at present; a connection that fails ends alone.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        serve::serve(self.0.clone(), listener, tls, cancel).await
    }
}
