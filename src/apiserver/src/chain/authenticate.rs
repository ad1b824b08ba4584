//! Who asks: a client certificate, a token (a service account's or one for joining), or nobody (`system:anonymous`).
//!
//! Reads the connection's [`Peer`], the `Authorization` header and, for browsers, the WebSocket protocol that carries a
//! token. A certificate that holds decides, then a token; where neither holds but one was shown, it is a 401 whose cause
//! goes to the log only.

mod bootstrap_token;
pub(crate) mod service_account_token;
pub(crate) mod websocket_token;

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use k8s_openapi::jiff::Timestamp;
use machinery::Status;

use crate::serve::peer::Peer;
use crate::server::Server;
use crate::user::User;
use service_account_token::Verified;

/// What is said of a token that nobody knows.
pub(crate) const INVALID: &str = "invalid bearer token";

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
            let verified = self::token(server, &token, server.tokens.api_audiences());
            verified.map(|verified| Arc::new(verified.user)).map_err(|why| refused("bearer token", &why))
        }
    }
}

/// Whom a token stands for, if it is for one of `audiences`; else why it does not hold. Only a service account's token
/// names its audiences: any other is for the API and nobody else.
pub(crate) fn token(server: &Server, token: &str, audiences: &[String]) -> Result<Verified, String> {
    let Some((id, secret)) = objects::bootstrap_token::split(token) else {
        return server.tokens.authenticate(&server.store, token, audiences);
    };
    let shared = server.tokens.api_audiences().iter().filter(|own| audiences.contains(own));
    let shared: Vec<String> = shared.cloned().collect();
    if shared.is_empty() {
        return Err(format!("a bootstrap token is not for the audiences {audiences:?}"));
    }
    let user = bootstrap_token::authenticate(&server.store, id, secret, Timestamp::now())?;
    Ok(Verified { user, audiences: shared })
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
