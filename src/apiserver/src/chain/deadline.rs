//! How long a request may take: `?timeout`, at most 60 s; watches, logs and upgraded connections have no limit.

use std::time::Duration;

use machinery::Status;

use super::request_info::RequestInfo;
use crate::query::{self, Query};

/// Upstream's `--request-timeout`.
const LIMIT: Duration = Duration::from_secs(60);

/// The request's limit; `None` where it has none.
pub(crate) fn of(info: &RequestInfo, query: &Query) -> Result<Option<Duration>, Status> {
    if info.is_long_running() {
        return Ok(None);
    }
    let asked = match query.text("timeout") {
        "" => return Ok(Some(LIMIT)),
        text => query::duration(text).ok_or_else(|| {
            let why = format!("time: invalid duration {text:?}");
            Status::bad_request(format!("invalid timeout specified in the request URL - {why}"))
        })?,
    };
    Ok(Some(if asked.is_zero() { LIMIT } else { asked.min(LIMIT) }))
}

/// Runs a handler within a limit.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    handler: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(limit) = limit else { return handler.await };
    match tokio::time::timeout(limit, handler).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::timeout(
            "request did not complete within requested timeout - context deadline exceeded",
            0,
        )),
    }
}
