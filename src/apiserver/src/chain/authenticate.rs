//! Who asks: a client certificate, a service account's token, or nobody (`system:anonymous`).
//!
//! Reads the connection's [`Peer`], the `Authorization` header and, for browsers, the WebSocket protocol that carries a
//! token. A certificate that holds decides, then a token; where neither holds but one was shown, it is a 401 whose cause
//! goes to the log only.

pub(crate) mod service_account_token;
pub(crate) mod websocket_token;

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use machinery::Status;

use crate::serve::peer::Peer;
use crate::server::Server;
use crate::user::User;

/// The user of a request.
pub(crate) fn user(server: &Server, parts: &Parts) -> Result<Arc<User>, Status> {
    let certificate = match parts.extensions.get::<Peer>() {
        Some(Peer::Known(user)) => return Ok(user.clone()),
        Some(Peer::Refused(why)) => Some(why),
        Some(Peer::Nobody) | None => None,
    };
    match (bearer(&parts.headers), certificate) {
        (None, None) => Ok(Arc::new(User::anonymous())),
        (None, Some(why)) => Err(refused("client certificate", why)),
        (Some(token), _) => {
            let audiences = server.tokens.api_audiences();
            let verified = server.tokens.authenticate(&server.store, &token, audiences);
            verified.map(|verified| Arc::new(verified.user)).map_err(|why| refused("bearer token", &why))
        }
    }
}

/// The token of an `Authorization: Bearer …` header, or else of a WebSocket's protocols. Of what is given twice the first
/// counts.
fn bearer(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let in_header = || {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
        let (scheme, token) = value.split_once(' ')?;
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    };
    in_header().map(Cow::Borrowed).or_else(|| websocket_token::find(headers).map(Cow::Owned))
}

fn refused(what: &str, why: &str) -> Status {
    tracing::debug!(why, "{what} refused");
    Status::unauthorized("Unauthorized")
}
