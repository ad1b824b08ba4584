//! `/metrics`: what the store tells about itself, and what else this process measures (where controllers and scheduler run in
//! it: theirs), in Prometheus' text format.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use machinery::Status;
use prometheus::{Encoder, TextEncoder};

use crate::body::Body;
use crate::call::Call;
use crate::negotiate;

/// Where it is.
pub(crate) const PATH: &str = "/metrics";

/// Answers with everything there is to tell at this moment.
pub(crate) async fn answer(call: &Call) -> Result<Response<Body>, Status> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    for families in [call.server.store.metrics().await, prometheus::gather()] {
        encoder.encode(&families, &mut text).map_err(Status::internal)?;
    }
    let mut response = negotiate::text(StatusCode::OK, text);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response)
}
