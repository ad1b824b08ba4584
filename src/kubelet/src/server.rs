//! The kubelet's API: pods, logs, exec and attach, over HTTPS.
//!
//! Asked by the API server (with its kubelet client certificate) or by anyone who may reach `nodes/proxy` and the like:
//! every request is authenticated by certificate or token and authorized by the API server (`auth`). Changes nothing on
//! the node.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Extension, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use futures::FutureExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{host::Host, pods::Pods};

mod auth;
mod exec;
pub(crate) mod logs;
mod pods;

const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// What every request can use.
#[derive(Clone)]
struct Api {
    host: Arc<Host>,
    pods: Pods,
    authorizer: Arc<auth::Authorizer>,
}

/// An error as the kubelet words it: a status code and plain text.
#[derive(Debug)]
struct Error(StatusCode, String);

impl Error {
    fn bad_request(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    fn not_found(text: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }

    fn internal(text: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/pods", get(pods::list))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::serve))
        .route("/exec/{namespace}/{pod}/{container}", any(exec::exec))
        .route("/exec/{namespace}/{pod}/{uid}/{container}", any(exec::exec_by_uid))
        .route("/attach/{namespace}/{pod}/{container}", any(exec::attach))
        .route("/attach/{namespace}/{pod}/{uid}/{container}", any(exec::attach_by_uid))
        .layer(middleware::from_fn_with_state(api.clone(), authorize))
        // Outermost: whatever is within may panic.
        .layer(middleware::from_fn(|request: Request, next: Next| guard(next.run(request))))
        .with_state(api)
}

/// Serves until cancelled. Streams that are open then are cut.
pub(crate) async fn serve(host: Arc<Host>, pods: Pods, listener: TcpListener, cancel: CancellationToken) {
    let acceptor = TlsAcceptor::from(host.config.tls.clone());
    let authorizer = Arc::new(auth::Authorizer::new(host.client.clone(), host.config.node_name.clone()));
    let router = router(Api { host, pods, authorizer });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = cancel.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(cancel.clone().run_until_cancelled_owned(connection(acceptor, router, stream)));
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(acceptor: TlsAcceptor, router: Router, stream: TcpStream) {
    let handshake = tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream));
    let Ok(Ok(stream)) = handshake.await else { return };
    let peer = auth::Peer::of(stream.get_ref().1);
    let service = TowerToHyperService::new(router.layer(Extension(peer)));
    let builder = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Turns a panic of whoever answers into an answer, so that the connection is not lost.
async fn guard(answer: impl Future<Output = Response>) -> Response {
    // What requests share is behind locks that say themselves what a panic means for them.
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)");
        tracing::error!(panic = text, "a request handler panicked");
        Error::internal("This request caused kubelet to panic. Look in the logs for details.").into_response()
    })
}

async fn authorize(
    State(api): State<Api>,
    Extension(peer): Extension<auth::Peer>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let asked = auth::Asked::of(&request);
    api.authorizer.check(&peer, &asked).await?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_a_handler_is_answered() {
        let answer = guard(async { panic!("it is asked for") }).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(guard(async { "fine".into_response() }).await.status(), StatusCode::OK);
    }
}
