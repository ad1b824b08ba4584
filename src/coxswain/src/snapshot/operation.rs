//! The server's part of `snapshot save`: a path of the API that answers with a snapshot of this moment.
//!
//! It is authenticated, authorized (non-resource URL, hence `system:masters` and whoever was given it) and limited as every
//! request. The answer is made while it is sent, in the memory of a few blocks; a client that reads slowly or goes away
//! ends it and hinders nobody.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use apiserver::{Body, BoxError, Operation};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Frame;
use store::Store;
use tokio::sync::mpsc;

/// Where it is served.
pub(crate) const PATH: &str = "/coxswain/snapshot";
/// Pieces that may wait for the client, each of at most a block.
const WAITING: usize = 4;

/// Answers with snapshots of a store.
pub(crate) struct SnapshotOperation(pub(crate) Store);

impl Operation for SnapshotOperation {
    fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.method() != Method::GET {
            return refused(StatusCode::METHOD_NOT_ALLOWED);
        }
        let (pieces, received) = mpsc::channel(WAITING);
        tokio::spawn(send(self.0.clone(), pieces));
        let mut answer = Response::new(Pieces(received).boxed_unsync());
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        answer
    }
}

/// An answer that says no more than its status.
pub(super) fn refused(status: StatusCode) -> Response<Body> {
    let mut refusal = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *refusal.status_mut() = status;
    refusal
}

type Piece = Result<Bytes, BoxError>;

async fn send(store: Store, pieces: mpsc::Sender<Piece>) {
    let Err(error) = store.save(Sender(pieces.clone()), None).await else { return };
    if pieces.is_closed() {
        return tracing::debug!("a client that asked for a snapshot has gone");
    }
    tracing::warn!(%error, "a snapshot for a client was given up");
    // Breaks the answer off, so that the client does not take what it has for all.
    drop(pieces.send(Err(error.into())).await);
}

/// Hands on what is written, and waits for the client.
struct Sender(mpsc::Sender<Piece>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body of what is received.
pub(super) struct Pieces(pub(super) mpsc::Receiver<Piece>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
