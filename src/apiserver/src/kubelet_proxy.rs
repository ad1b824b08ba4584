//! The way to kubelets: HTTPS with the API server's client certificate, to the address and port in the node's status.
//!
//! Logs come back as a stream; for exec and attach the client's upgrade request is repeated and both upgraded connections
//! are copied byte for byte. A kubelet's plain-text error becomes a `Status`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Node;
use machinery::Status;
use machinery::gvk::GroupResource;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use store::{Key, Store};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::body::{self, Body};
use crate::chain::authenticate::websocket_token;
use crate::{Error, KubeletClient};

const CONNECT: Duration = Duration::from_secs(10);
/// The port of a node that says nothing.
const DEFAULT_PORT: i32 = 10250;
/// How much of a kubelet's error is passed on.
const ERROR_LIMIT: usize = 64 * 1024;

/// A request to a kubelet.
pub(crate) struct Forward {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

/// Calls kubelets.
pub(crate) struct Kubelets(TlsConnector);

impl Kubelets {
    /// Reads the identity and the CA.
    pub(crate) fn new(client: &KubeletClient) -> Result<Kubelets, Error> {
        let wrong = |error: &dyn std::fmt::Display| Error::KubeletClient(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&client.ca) {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_client_cert_resolver(client.identity.clone());
        Ok(Kubelets(TlsConnector::from(Arc::new(config))))
    }

    /// Sends a request; an answer that is no success is a `Status`.
    pub(crate) async fn send(
        &self,
        store: &Store,
        node: &str,
        forward: Forward,
    ) -> Result<Response<Incoming>, Status> {
        let address = Address::of(store, node)?;
        let stream = self.connect(&address).await.map_err(|error| unreachable(&address, &error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&address, &error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a kubelet ended with an error");
            }
        });
        let mut request = Request::new(body::empty());
        *request.method_mut() = forward.method;
        *request.uri_mut() = forward.path.parse().map_err(Status::internal)?;
        *request.headers_mut() = forward.headers;
        let host = format!("{}:{}", address.host(), address.port);
        request.headers_mut().insert(HOST, HeaderValue::from_str(&host).map_err(Status::internal)?);
        let response = sender.send_request(request).await.map_err(|error| unreachable(&address, &error))?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(failure(response).await)
    }

    /// Repeats a client's upgrade request at the kubelet and connects the two.
    pub(crate) async fn upgrade(
        &self,
        store: &Store,
        node: &str,
        path: String,
        mut client: Parts,
    ) -> Result<Response<Body>, Status> {
        let Some(on_client) =
            client.extensions.remove::<OnUpgrade>().filter(|_| client.headers.contains_key(UPGRADE))
        else {
            return Err(Status::bad_request("Upgrade request required"));
        };
        let forward =
            Forward { method: client.method.clone(), path, headers: upgrade_headers(&client.headers) };
        let mut response = self.send(store, node, forward).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Status::internal("the kubelet did not upgrade the connection"));
        }
        let on_kubelet = hyper::upgrade::on(&mut response);
        tokio::spawn(copy(on_client, on_kubelet));
        let (parts, _) = response.into_parts();
        let mut answer = Response::new(body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = parts.headers;
        Ok(answer)
    }

    /// What speaks TLS with kubelets.
    pub(crate) fn connector(&self) -> TlsConnector {
        self.0.clone()
    }

    async fn connect(&self, address: &Address) -> std::io::Result<TlsStream<TcpStream>> {
        let connect = async {
            let stream = TcpStream::connect((address.ip, address.port)).await?;
            stream.set_nodelay(true)?;
            self.0.connect(ServerName::IpAddress(address.ip.into()), stream).await
        };
        tokio::time::timeout(CONNECT, connect).await?
    }
}

/// Copies until both sides have ended.
pub(crate) async fn copy(client: OnUpgrade, target: OnUpgrade) {
    let (client, target) = match tokio::try_join!(client, target) {
        Ok(both) => both,
        Err(error) => return tracing::debug!(%error, "a connection was not upgraded"),
    };
    let (mut client, mut target) = (TokioIo::new(client), TokioIo::new(target));
    if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut target).await {
        tracing::debug!(%error, "an upgraded connection ended with an error");
    }
}

/// What belongs to the upgrade; credentials stay here.
fn upgrade_headers(headers: &HeaderMap) -> HeaderMap {
    let mut kept: HeaderMap = headers
        .iter()
        .filter(|(name, _)| {
            **name == UPGRADE
                || **name == CONNECTION
                || name.as_str().starts_with("sec-websocket-")
                || name.as_str() == "x-stream-protocol-version"
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    websocket_token::remove(&mut kept);
    kept
}

/// Where a node's kubelet listens; 404 where there is no such node.
pub(crate) fn address_of(store: &Store, node: &str) -> Result<SocketAddr, Status> {
    Address::of(store, node).map(|address| SocketAddr::new(address.ip, address.port))
}

struct Address {
    ip: IpAddr,
    port: u16,
}

impl Address {
    fn of(store: &Store, node: &str) -> Result<Address, Status> {
        let entry = store.get(&Key::new("", "nodes", "", node));
        let entry = entry.ok_or_else(|| Status::not_found(&GroupResource::new("", "nodes"), node))?;
        let status = serde_json::from_slice::<Node>(&entry.bytes).map_err(Status::internal)?.status;
        let status = status.unwrap_or_default();
        let addresses = status.addresses.unwrap_or_default();
        let of_type = |wanted: &str| {
            let found = addresses.iter().find(|address| address.type_ == wanted);
            found.and_then(|address| address.address.parse().ok())
        };
        let ip = of_type("InternalIP").or_else(|| of_type("ExternalIP"));
        let ip = ip.ok_or_else(|| {
            Status::internal(format!("no preferred addresses found; known addresses: {}", addresses.len()))
        })?;
        let endpoint = status.daemon_endpoints.and_then(|endpoints| endpoints.kubelet_endpoint);
        let port = endpoint.map(|endpoint| endpoint.port).filter(|port| *port != 0).unwrap_or(DEFAULT_PORT);
        Ok(Address { ip, port: u16::try_from(port).map_err(Status::internal)? })
    }

    fn host(&self) -> String {
        match self.ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }
    }
}

fn unreachable(address: &Address, error: &dyn std::fmt::Display) -> Status {
    Status::internal(format!("error dialing backend: dial tcp {}:{}: {error}", address.host(), address.port))
}

/// A kubelet's plain-text error.
async fn failure(response: Response<Incoming>) -> Status {
    let code = response.status();
    let read = http_body_util::Limited::new(response.into_body(), ERROR_LIMIT).collect().await;
    let text = match read {
        Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).trim_end().to_owned(),
        Err(error) => format!("the kubelet's error could not be read: {error}"),
    };
    match code {
        StatusCode::BAD_REQUEST => Status::bad_request(text),
        StatusCode::NOT_FOUND => Status::failure(404, "NotFound", text),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Status::internal(format!("the kubelet refused the API server's request: {text}"))
        }
        StatusCode::SERVICE_UNAVAILABLE => Status::service_unavailable(text),
        _ => Status::internal(text),
    }
}

/// Parameters as a query.
pub(crate) fn encode_query(parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
