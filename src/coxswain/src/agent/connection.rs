//! The connection to the API server: one, by HTTP/2, made when it is needed and made again when it is gone.
//!
//! All of a node's requests and watches share it. A server that is away is noticed within seconds, since idle connections
//! are probed; whoever asks meanwhile gets an error and asks again, and where the cluster has other servers, one of those is
//! connected to. The identity can be changed at any time: the next
//! request opens a connection under the new one, and what is under way on the old one ends in its own time.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::header::AUTHORIZATION;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::Body;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority;

const CONNECT: Duration = Duration::from_secs(10);
/// The same where there is another server to try.
const CONNECT_ELSEWHERE: Duration = Duration::from_secs(2);
/// An idle connection is probed so often, and given up when nothing comes back for so long.
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// Any error, as services answer.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Where an API server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    authority: Authority,
    name: ServerName<'static>,
    port: u16,
}

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nobody answers; somebody may later.
    #[error("cannot reach {server}: {cause}")]
    Unreachable {
        /// Where nobody answers.
        server: Endpoint,
        /// What the system says.
        cause: String,
    },
    /// Somebody answers who cannot be trusted.
    #[error("{server} {why}")]
    Untrusted {
        /// Who answers.
        server: Endpoint,
        /// What is wrong with its certificate.
        why: String,
    },
}

/// The connection; clones of the `Arc` share it.
pub(super) struct Connection {
    /// The cluster's servers, that which answered last before the others.
    servers: RwLock<Vec<Endpoint>>,
    tls: RwLock<Arc<ClientConfig>>,
    bearer: Option<HeaderValue>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    sender: Option<(Endpoint, SendRequest<Body>)>,
    /// The last failure: those who waited for that attempt share its outcome.
    failed: Option<(Instant, Error)>,
}

impl Connection {
    /// A connection to the first of the servers that answers, under the identity that `tls` has.
    pub(super) fn new(servers: Vec<Endpoint>, tls: Arc<ClientConfig>) -> Arc<Self> {
        Self::with(servers, tls, None)
    }

    /// A connection whose requests carry a token.
    pub(super) fn with_token(
        server: Endpoint,
        tls: Arc<ClientConfig>,
        token: &str,
    ) -> anyhow::Result<Arc<Self>> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        Ok(Self::with(vec![server], tls, Some(bearer)))
    }

    fn with(servers: Vec<Endpoint>, tls: Arc<ClientConfig>, bearer: Option<HeaderValue>) -> Arc<Self> {
        let (servers, tls) = (RwLock::new(servers), RwLock::new(tls));
        Arc::new(Self { servers, tls, bearer, open: Mutex::default() })
    }

    /// Learns which servers the cluster has. The one in use stays so for as long as it answers.
    pub(super) fn learn(&self, servers: Vec<Endpoint>) {
        let mut known = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        let mut next: Vec<Endpoint> = known.iter().filter(|known| servers.contains(known)).cloned().collect();
        next.extend(servers.into_iter().filter(|server| !known.contains(server)));
        *known = next;
    }

    /// What `kube::Client` takes.
    pub(super) fn service(self: &Arc<Self>) -> Service {
        Service(self.clone())
    }

    /// Takes another identity.
    pub(super) fn replace(self: &Arc<Self>, tls: Arc<ClientConfig>) {
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        let this = self.clone();
        tokio::spawn(async move { this.open.lock().await.sender = None });
    }

    /// Sends one request.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        let (server, mut sender) = self.sender().await?;
        *request.uri_mut() = server.absolute(request.uri())?;
        sender.ready().await?;
        Ok(sender.send_request(request).await?)
    }

    async fn sender(&self) -> Result<(Endpoint, SendRequest<Body>), Error> {
        let asked = Instant::now();
        let mut open = self.open.lock().await;
        if let Some(sender) = open.sender.as_ref().filter(|(_, sender)| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        if let Some((when, error)) = open.failed.as_ref().filter(|(when, _)| *when > asked) {
            tracing::trace!(?when, "shared a failed attempt");
            return Err(error.clone());
        }
        match self.connect().await {
            Ok(sender) => {
                open.sender = Some(sender.clone());
                Ok(sender)
            }
            Err(error) => {
                open.sender = None;
                open.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Connects to the first server that can be, which is then the first to be tried.
    async fn connect(&self) -> Result<(Endpoint, SendRequest<Body>), Error> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner).clone();
        let patience = if servers.len() > 1 { CONNECT_ELSEWHERE } else { CONNECT };
        let mut first_error = None;
        for server in servers {
            match self.connect_to(&server, patience).await {
                Ok(sender) => {
                    let mut known = self.servers.write().unwrap_or_else(PoisonError::into_inner);
                    known.sort_by_key(|known| *known != server);
                    return Ok((server, sender));
                }
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        Err(first_error.expect("a connection knows one server at least"))
    }

    async fn connect_to(&self, server: &Endpoint, patience: Duration) -> Result<SendRequest<Body>, Error> {
        let unreachable = |cause: String| Error::Unreachable { server: server.clone(), cause };
        let stream = match tokio::time::timeout(patience, self.stream(server)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                return Err(match authority::complaint(&error) {
                    Some(why) => Error::Untrusted { server: server.clone(), why },
                    None => unreachable(error.to_string()),
                });
            }
            Err(_) => return Err(unreachable(format!("no answer within {} s", patience.as_secs()))),
        };
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PROBE_EVERY)
            .keep_alive_timeout(PROBE_PATIENCE)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the server ended");
            }
        });
        Ok(sender)
    }

    async fn stream(&self, server: &Endpoint) -> std::io::Result<TlsStream<TcpStream>> {
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let host = server.authority.host().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, server.port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(tls).connect(server.name.clone(), stream).await
    }
}

/// A [`Connection`] as a `tower::Service`.
#[derive(Clone)]
pub(super) struct Service(Arc<Connection>);

impl tower::Service<Request<Body>> for Service {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = self.0.clone();
        Box::pin(async move { connection.send(request).await })
    }
}

/// The connection error behind an error of the client.
pub(super) fn cause(error: &kube::Error) -> Option<&Error> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).find_map(|error| error.downcast_ref())
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let authority =
            Authority::try_from(address.to_string()).expect("an address and a port are an authority");
        Self { authority, name: ServerName::from(address.ip()), port: address.port() }
    }
}

impl Endpoint {
    fn absolute(&self, relative: &Uri) -> Result<Uri, http::Error> {
        let path = relative.path_and_query().map_or("/", |path| path.as_str());
        Uri::builder().scheme(Scheme::HTTPS).authority(self.authority.clone()).path_and_query(path).build()
    }
}

impl FromStr for Endpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let form = "the server is given as https://<host>:<port>";
        let uri: Uri = text.parse().context(form)?;
        ensure!(uri.scheme() == Some(&Scheme::HTTPS), "{form}");
        ensure!(matches!(uri.path(), "" | "/") && uri.query().is_none(), "{form}, with nothing behind it");
        let authority = uri.authority().context(form)?.clone();
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).context(form)?;
        Ok(Self { port: authority.port_u16().unwrap_or(443), authority, name })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_replaces_what_was_known_but_for_the_order() {
        rustls::crypto::ring::default_provider().install_default().ok();
        let endpoint = |last: u8| Endpoint::from(SocketAddr::from(([192, 0, 2, last], 6443)));
        let connection = Connection::new(vec![endpoint(1), endpoint(2)], authority::trusting_tls());
        connection.learn(vec![endpoint(3), endpoint(2)]);
        let known = connection.servers.read().unwrap().clone();
        assert_eq!(known, [endpoint(2), endpoint(3)], "the one in use may still be the second");
        assert_eq!(endpoint(1), "https://192.0.2.1:6443".parse().unwrap());
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        let read =
            |text: &str| text.parse::<Endpoint>().map(|endpoint| (endpoint.to_string(), endpoint.port));
        assert_eq!(read("https://192.0.2.1:6443").unwrap(), ("https://192.0.2.1:6443".to_owned(), 6443));
        assert_eq!(read("https://example.com").unwrap().1, 443);
        for wrong in ["192.0.2.1:6443", "http://192.0.2.1:6443", "https://192.0.2.1:6443/api", "https://"] {
            read(wrong).unwrap_err();
        }
    }
}
