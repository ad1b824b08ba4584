//! No more requests at once than upstream takes (`apiserver/pkg/server/filters/maxinflight.go`): the last resort of a server
//! that is asked for more than it can do. It knows no priorities and queues nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::request_info::RequestInfo;
use crate::body::{Body, BoxError};
use crate::negotiate;
use crate::user::{MASTERS, User};

/// Upstream's `--max-requests-inflight`.
const READING: usize = 400;
/// Upstream's `--max-mutating-requests-inflight`.
const MUTATING: usize = 200;

/// The places of requests that are being served.
pub(crate) struct InFlight {
    reading: Arc<Semaphore>,
    mutating: Arc<Semaphore>,
}

impl Default for InFlight {
    fn default() -> InFlight {
        let places = |count| Arc::new(Semaphore::new(count));
        InFlight { reading: places(READING), mutating: places(MUTATING) }
    }
}

/// A request's place; nothing where it needs none.
pub(crate) struct Place(Option<OwnedSemaphorePermit>);

impl InFlight {
    /// Gives a request a place; `None` where all are taken. Watches and the like need none, for they would keep it, and those
    /// who may do everything are never refused.
    pub(crate) fn enter(&self, info: &RequestInfo, user: &User) -> Option<Place> {
        if info.is_long_running() {
            return Some(Place(None));
        }
        let reads = matches!(&*info.verb, "get" | "list" | "watch");
        let places = if reads { &self.reading } else { &self.mutating };
        match places.clone().try_acquire_owned() {
            Ok(place) => Some(Place(Some(place))),
            Err(_) => user.groups.iter().any(|group| group == MASTERS).then_some(Place(None)),
        }
    }
}

impl Place {
    /// The answer of a request, which keeps its place until all of it is made.
    pub(crate) fn keep(self, answer: Response<Body>) -> Response<Body> {
        match self.0 {
            Some(place) if answer.body().size_hint().exact().is_none() => {
                answer.map(|body| Kept { body, _place: place }.boxed_unsync())
            }
            _ => answer,
        }
    }
}

/// Upstream's answer to a request for which there is no place.
pub(crate) fn refusal() -> Response<Body> {
    let text = "Too many requests, please try again later.\n";
    let mut response = negotiate::text(StatusCode::TOO_MANY_REQUESTS, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A body that is still to be made.
struct Kept {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
