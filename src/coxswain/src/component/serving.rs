//! The secure port of a component that runs alone: health pages, metrics and its configuration, as upstream's components have
//! them (`cmd/kube-scheduler/app/server.go`, `controller-manager/app/serve.go`).
//!
//! Who may see what is the API server's business ([`access`]); what there is to see, [`pages`]'.

mod access;
mod pages;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use apiserver::Peer;
use bytes::Bytes;
use clap::Args;
use futures::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Component;
use crate::parts::Parts;
use crate::pki;

use access::Access;
pub(crate) use pages::{Check, Pages, check};

/// So long a client may take for the TLS handshake, and for the end of a connection that is closed.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long after its last request a connection is kept (upstream's `IdleTimeout`, `apiserver/pkg/server/secure_serving.go`).
const IDLE: Duration = Duration::from_secs(90);
/// So many connections there may be; who comes then waits until one ends. Some probes and a monitoring system need few.
const CONNECTIONS: usize = 128;
/// How long to wait when the system has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The flags, upstream's names.
#[derive(Args, Debug)]
pub(crate) struct ServingOptions {
    /// The address to serve health pages and metrics on
    #[arg(long, default_value_t = IpAddr::from(Ipv4Addr::UNSPECIFIED))]
    pub(crate) bind_address: IpAddr,
    /// The port to serve them on by HTTPS; 0 for none [default: 10257 for controllers, 10259 for the scheduler]
    #[arg(long)]
    secure_port: Option<u16>,
}

impl ServingOptions {
    /// The port; 0 for none.
    pub(crate) fn port(&self, default: u16) -> u16 {
        self.secure_port.unwrap_or(default)
    }

    /// Serves the pages for as long as the component runs, unless the port is 0.
    ///
    /// # Errors
    /// The port is in use; no certificate can be made.
    pub(crate) async fn start(
        &self,
        default_port: u16,
        pages: Pages,
        component: &Component,
        parts: &mut Parts,
    ) -> anyhow::Result<()> {
        let port = self.port(default_port);
        if port == 0 {
            return Ok(());
        }
        let bind = SocketAddr::new(self.bind_address, port);
        let listener = TcpListener::bind(bind).await.with_context(|| {
            format!("cannot serve health and metrics on {bind}: give another port with --secure-port, or 0 for none")
        })?;
        let identity =
            pki::self_signed(OffsetDateTime::now_utc, vec!["localhost".to_owned(), component.host.clone()])?;
        let server = Arc::new(Server {
            listener,
            acceptor: TlsAcceptor::from(apiserver::server_config(identity)?),
            access: Access::new(component.client.clone(), component.cancel.clone()),
            pages,
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        info!(address = %bind, "serves health and metrics");
        parts.keep("health and metrics", move |cancel| server.clone().serve(cancel));
        Ok(())
    }
}

/// The check that a component is not about to end.
pub(crate) fn shutdown(cancel: CancellationToken) -> Check {
    check("shutdown", "process is shutting down", move || !cancel.is_cancelled())
}

struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    access: Access,
    pages: Pages,
    /// A permit for each connection that may still come.
    room: Arc<Semaphore>,
}

impl Server {
    async fn serve(self: Arc<Self>, cancel: CancellationToken) -> Result<(), Infallible> {
        while let Some((stream, room)) = cancel.run_until_cancelled(self.accept()).await {
            let connection = self.clone().connection(stream, room);
            tokio::spawn(cancel.clone().run_until_cancelled_owned(connection));
        }
        Ok(())
    }

    /// The next connection, once there is room for it.
    async fn accept(&self) -> (TcpStream, OwnedSemaphorePermit) {
        let room = self.room.clone().acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (stream, room),
                Err(error) => warn!(%error, "a connection could not be accepted"),
            }
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Serves a connection, which takes its `room` until it ends.
    async fn connection(self: Arc<Self>, stream: TcpStream, _room: OwnedSemaphorePermit) {
        let handshake = timeout(PATIENCE, self.acceptor.accept(stream));
        let Ok(Ok(stream)) = handshake.await else { return debug!("a TLS handshake failed") };
        let peer = self.access.peer(stream.get_ref().1.peer_certificates());
        let (asked, mut last) = watch::channel(());
        let service = service_fn(move |request: Request<Incoming>| {
            asked.send_replace(());
            let (server, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, Infallible>(server.answer(&peer, &request).await) }
        });
        let builder = apiserver::http_builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = idle(&mut last) => {
                connection.as_mut().graceful_shutdown();
                timeout(PATIENCE, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended with an error");
        }
    }

    /// Upstream's order: who asks, whether they may, and only then whether there is such a page.
    async fn answer(&self, peer: &Peer, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let answered = std::panic::AssertUnwindSafe(async {
            match self.access.check(peer, request).await {
                Ok(()) => self.pages.show(request.uri()),
                Err(status) => pages::refusal(&status),
            }
        });
        answered.catch_unwind().await.unwrap_or_else(|_| {
            // What it said is in the log already.
            let text = "This request caused the component to panic. Look in the logs for details.\n";
            pages::text(StatusCode::INTERNAL_SERVER_ERROR, text)
        })
    }
}

/// Until nothing has been asked for as long as a connection is kept.
async fn idle(asked: &mut watch::Receiver<()>) {
    while let Ok(Ok(())) = timeout(IDLE, asked.changed()).await {}
}
