//! The way of every request, one line a stage. The order matters: the panic guard stands outside all that may panic, the
//! deadline outside all that may wait, and nothing is dispatched that has not been authorized.
//!
//! Takes requests from `serve` and `in_process`, ends in `dispatch`. Knows no kind.

pub(crate) mod authenticate;
pub(crate) mod authorize;
mod deadline;
mod impersonate;
pub(crate) mod in_flight;
mod panic_guard;
pub(crate) mod request_info;
mod trace;

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use machinery::Status;

use crate::body::Body;
use crate::call::{Call, Warnings};
use crate::query::Query;
use crate::server::Server;
use crate::{dispatch, negotiate};
use request_info::RequestInfo;
use trace::Trace;

/// Answers one request.
pub(crate) async fn handle(server: Arc<Server>, request: Request<Body>) -> Response<Body> {
    let trace = Trace::begin(&request);
    let wishes = negotiate::Wishes::of(&request);
    let warnings = Warnings::default();
    let answer = panic_guard::around(stages(server, request, &warnings)).await;
    trace.end(answer.unwrap_or_else(|status| negotiate::failure(&status, &wishes, &warnings)))
}

async fn stages(
    server: Arc<Server>,
    request: Request<Body>,
    warnings: &Warnings,
) -> Result<Response<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query());
    let info = match RequestInfo::new(&parts.method, &parts.uri, &query) {
        Ok(info) => info,
        Err(why) => return Ok(undescribed(parts.uri.path(), &why)),
    };
    let deadline = deadline::of(&info, &query)?;
    deadline::within(deadline, async {
        let user = authenticate::user(&server, &parts)?;
        let user = impersonate::user(&server, &mut parts.headers, user)?;
        let Some(place) = server.in_flight.enter(&info, &user) else { return Ok(in_flight::refusal()) };
        authorize::request(&server, &user, &info)?;
        let call = Call::new(server, parts, query, info, user, warnings.clone());
        dispatch::dispatch(call, body).await.map(|answer| place.keep(answer))
    })
    .await
}

/// What upstream's filter answers to a path that it cannot make out, before there is anything of the API.
fn undescribed(path: &str, why: &str) -> Response<Body> {
    let text = format!("Internal Server Error: {path:?}: failed to create RequestInfo: {why}\n");
    negotiate::text(StatusCode::INTERNAL_SERVER_ERROR, text)
}
