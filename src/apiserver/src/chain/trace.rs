//! One line in the log for each request (at debug level) and the answer's identity headers.

use std::time::Instant;

use http::{HeaderValue, Method, Request, Response, Uri};

use crate::body::Body;

/// What is remembered of a request while it is served.
pub(crate) struct Trace {
    method: Method,
    uri: Uri,
    started: Instant,
}

impl Trace {
    /// Begins with the request as it arrived.
    pub(crate) fn begin(request: &Request<Body>) -> Trace {
        Trace { method: request.method().clone(), uri: request.uri().clone(), started: Instant::now() }
    }

    /// Ends with the answer as it leaves.
    pub(crate) fn end(self, mut response: Response<Body>) -> Response<Body> {
        tracing::debug!(
            method = %self.method, uri = %self.uri, code = response.status().as_u16(),
            elapsed_us = self.started.elapsed().as_micros() as u64, "request"
        );
        response
            .headers_mut()
            .entry(http::header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-cache, private"));
        response
    }
}
