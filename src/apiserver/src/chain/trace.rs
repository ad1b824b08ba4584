//! One line in the log for each request (at debug level) and the answer's identity headers.

use std::time::Instant;

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use machinery::meta;

use crate::body::Body;

/// Names the request in logs; a client may bring its own name (upstream `WithAuditInit`).
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// What is remembered of a request while it is served.
pub(crate) struct Trace {
    method: Method,
    uri: Uri,
    audit_id: HeaderValue,
    started: Instant,
}

impl Trace {
    /// Begins with the request as it arrived.
    pub(crate) fn begin(request: &Request<Body>) -> Trace {
        let given = request.headers().get(AUDIT_ID).filter(|id| !id.is_empty()).cloned();
        let audit_id = given.unwrap_or_else(|| meta::new_uid().try_into().expect("a uid is a header value"));
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Trace { method, uri, audit_id, started: Instant::now() }
    }

    /// Ends with the answer as it leaves.
    pub(crate) fn end(self, mut response: Response<Body>) -> Response<Body> {
        tracing::debug!(
            method = %self.method, uri = %self.uri, audit_id = ?self.audit_id, code = response.status().as_u16(),
            elapsed_us = self.started.elapsed().as_micros() as u64, "request"
        );
        response.headers_mut().insert(AUDIT_ID, self.audit_id);
        response
            .headers_mut()
            .entry(http::header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-cache, private"));
        response
    }
}
