//! The same service without sockets and TLS, for components of this process: each request comes from a fixed user.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};

use crate::body::{self, Body, BoxError};
use crate::chain;
use crate::serve::peer::Peer;
use crate::server::Server;
use crate::user::User;

/// A `tower::Service` over the API server, for `kube::Client::new`.
#[derive(Clone)]
pub struct InProcess {
    server: Arc<Server>,
    peer: Peer,
}

impl InProcess {
    pub(crate) fn new(server: Arc<Server>, user: User) -> InProcess {
        InProcess { server, peer: Peer::Known(Arc::new(user)) }
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        let mut request = request.map(body::boxed);
        request.extensions_mut().insert(self.peer.clone());
        Box::pin(async move { Ok(chain::handle(server, request).await) })
    }
}
