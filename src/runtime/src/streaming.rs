//! The streams of commands and containers, over WebSocket on loopback.
//!
//! A CRI call leaves a request here and gets a URL with a token; whoever opens it, once and soon, gets the streams. The
//! kubelet passes the client's upgraded connection on byte for byte, so the protocol here is the client's:
//! `v5.channel.k8s.io`, `v4.channel.k8s.io` or `channel.k8s.io`. SPDY is not spoken.

mod channels;
mod session;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use self::channels::Protocol;
use crate::core::Core;
use crate::error::{At, Error, Result};
use crate::files;

/// How long a URL waits to be opened.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60);
/// More unopened URLs than this are a fault of the caller.
const TOKEN_LIMIT: usize = 1000;
/// How long to leave a listener alone that could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a URL stands for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) container: String,
    /// A command to run; `None` for the container's own streams.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// The server and its open requests.
pub(crate) struct Streams {
    address: SocketAddr,
    waiting: Mutex<HashMap<String, (Instant, Wanted)>>,
}

impl Streams {
    /// Listens on loopback; serves once `serve` runs.
    pub(crate) async fn bind() -> Result<(Arc<Self>, TcpListener)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.at("listen on", "127.0.0.1")?;
        let address = listener.local_addr().at("listen on", "127.0.0.1")?;
        Ok((Arc::new(Self { address, waiting: Mutex::default() }), listener))
    }

    /// The URL where `wanted` will be served, once.
    pub(crate) fn url(&self, wanted: Wanted) -> Result<String> {
        let path = if wanted.command.is_some() { "exec" } else { "attach" };
        let token = files::random_id();
        let mut waiting = self.waiting.lock().expect("no panic while held");
        waiting.retain(|_, (since, _)| since.elapsed() < TOKEN_LIFETIME);
        if waiting.len() >= TOKEN_LIMIT {
            return Err(Error::Precondition("too many streaming requests are waiting".to_owned()));
        }
        waiting.insert(token.clone(), (Instant::now(), wanted));
        Ok(format!("http://{}/{path}/{token}", self.address))
    }

    fn redeem(&self, path: &str) -> Option<Wanted> {
        let token = path.rsplit('/').next()?;
        let (since, wanted) = self.waiting.lock().expect("no panic while held").remove(token)?;
        (since.elapsed() < TOKEN_LIFETIME).then_some(wanted)
    }
}

/// Serves until the runtime is dropped. An accept that fails (no descriptor left, a client that went) ends nothing.
pub(crate) async fn serve(streams: Arc<Streams>, listener: TcpListener, core: Weak<Core>) {
    loop {
        let accepted = listener.accept().await;
        let (streams, core) = (Arc::clone(&streams), core.clone());
        if core.strong_count() == 0 {
            return;
        }
        let connection = match accepted {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a streaming connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|request| {
                let answer = open(&streams, &core, request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .with_upgrades()
                .await;
            if let Err(e) = served {
                tracing::debug!(error = %e, "streaming connection broke");
            }
        });
    }
}

/// Answers the opening request; the streams run on by themselves.
fn open(streams: &Streams, core: &Weak<Core>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (Some(protocol), Some(key)) =
        (Protocol::choose(request.headers()), request.headers().get(header::SEC_WEBSOCKET_KEY))
    else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "only WebSocket with v5.channel.k8s.io, v4.channel.k8s.io or channel.k8s.io is served",
        );
    };
    let (Some(core), Some(wanted)) = (core.upgrade(), streams.redeem(request.uri().path())) else {
        return refuse(StatusCode::NOT_FOUND, "unknown or expired token");
    };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(async move {
        match hyper::upgrade::on(request).await {
            Ok(upgraded) => session::run(&core, wanted, TokioIo::new(upgraded), protocol).await,
            Err(e) => tracing::debug!(error = %e, "streaming connection was not upgraded"),
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers: &mut HeaderMap = response.headers_mut();
    let value = |text: &str| header::HeaderValue::from_str(text).expect("plain ASCII");
    headers.insert(header::CONNECTION, value("Upgrade"));
    headers.insert(header::UPGRADE, value("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, value(&accept));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value(protocol.name()));
    response
}

fn refuse(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
