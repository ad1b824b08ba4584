//! The listener: TLS, HTTP/2 and 1.1, one service for all requests, a drain when it is told to stop.
//!
//! Takes connections, hands requests to `chain`. Knows nothing of what a request means.

pub(crate) mod peer;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use crate::{Error, body, chain};

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests in flight may go on once the server drains.
const DRAIN: Duration = Duration::from_secs(15);
/// How long to wait when the system has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Upstream's `--http2-max-streams-per-connection`.
const STREAMS_PER_CONNECTION: u32 = 250;

/// Serves connections until `cancel`; then ends watches, waits for requests in flight and returns.
pub(crate) async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    cancel: CancellationToken,
) -> Result<(), Error> {
    let acceptor = TlsAcceptor::from(tls);
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let watcher = graceful.watcher();
        tokio::spawn(connection(server.clone(), acceptor.clone(), stream, watcher));
    }
    drop(listener);
    server.draining.cancel();
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still in flight when the server stopped");
    }
    Ok(())
}

async fn connection(
    server: Arc<Server>,
    acceptor: TlsAcceptor,
    stream: TcpStream,
    watcher: hyper_util::server::graceful::Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot turn off Nagle's algorithm");
    }
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake error"),
        Err(_) => return tracing::debug!("TLS handshake took too long"),
    };
    let peer = server.peers.judge(stream.get_ref().1.peer_certificates());
    let service = service_fn(move |request: Request<Incoming>| {
        let server = server.clone();
        let mut request = request.map(body::boxed);
        request.extensions_mut().insert(peer.clone());
        async move { Ok::<_, Infallible>(chain::handle(server, request).await) }
    });
    let builder = http_builder();
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// How HTTP is spoken with clients: how long they may take for the head of a request (and, with HTTP/1.1, for the next one),
/// how many requests may run at a time on one connection, and when a connection whose client is gone ends.
pub fn http_builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(32));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(STREAMS_PER_CONNECTION);
    builder
}
