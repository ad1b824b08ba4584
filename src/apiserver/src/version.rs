//! `/version`.

use http::{Response, StatusCode};
use machinery::Status;

use crate::body::Body;
use crate::call::Call;
use crate::negotiate;
use crate::verbs::get::encoded;

/// Answers with the version that the server was started as.
pub(crate) fn answer(call: &Call) -> Result<Response<Body>, Status> {
    negotiate::check_served(call, &[negotiate::JSON])?;
    let accept = negotiate::plain(call)?;
    let json = encoded(&call.server.version)?;
    // Upstream indents this one always.
    let accept = negotiate::Accept { pretty: true, ..accept };
    Ok(negotiate::document(call, &accept, StatusCode::OK, json))
}
