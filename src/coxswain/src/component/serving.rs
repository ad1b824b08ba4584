//! The secure port of a component that runs alone: health pages, metrics and its configuration, as upstream's components have
//! them (`cmd/kube-scheduler/app/server.go`, `controller-manager/app/serve.go`).
//!
//! Who may see what is the API server's business ([`access`]); what there is to see, [`pages`]'.

mod access;
mod pages;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Component;
use crate::parts::Parts;
use crate::pki;

use access::Access;
pub(crate) use pages::{Check, Pages};

/// So long a client may take for the TLS handshake, and for the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
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
        });
        info!(address = %bind, "serves health and metrics");
        parts.keep("health and metrics", move |cancel| server.clone().serve(cancel));
        Ok(())
    }
}

/// The check that a component is not about to end.
pub(crate) fn shutdown(cancel: CancellationToken) -> Check {
    let check = move || match cancel.is_cancelled() {
        false => Ok(()),
        true => Err("process is shutting down".to_owned()),
    };
    ("shutdown", Box::new(check))
}

struct Server {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    access: Access,
    pages: Pages,
}

impl Server {
    async fn serve(self: Arc<Self>, cancel: CancellationToken) -> Result<(), Infallible> {
        while let Some(accepted) = cancel.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    let connection = self.clone().connection(stream);
                    tokio::spawn(cancel.clone().run_until_cancelled_owned(connection));
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        Ok(())
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let handshake = tokio::time::timeout(PATIENCE, self.acceptor.accept(stream));
        let Ok(Ok(stream)) = handshake.await else { return debug!("a TLS handshake failed") };
        let peer = self.access.peer(stream.get_ref().1.peer_certificates());
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, Infallible>(server.answer(&peer, &request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
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
