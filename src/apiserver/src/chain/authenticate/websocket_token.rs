//! A bearer token among the protocols that a WebSocket client offers: the only place where a browser can put one (upstream
//! `authentication/request/websocket`).
//!
//! `authenticate` reads it; `kubelet_proxy` takes it out of what it sends on. Nothing here judges the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};

/// The protocol's name up to the token, which follows in URL-safe base64 without padding.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of a WebSocket request; one that cannot be decoded is none.
pub(crate) fn find(headers: &HeaderMap) -> Option<String> {
    if !headers.get(UPGRADE)?.to_str().ok()?.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let token = protocols(headers).find_map(|protocol| protocol.strip_prefix(PREFIX))?;
    let token = URL_SAFE_NO_PAD.decode(token).ok()?;
    String::from_utf8(token).ok().filter(|token| !token.is_empty())
}

/// Takes tokens out of the offered protocols.
pub(crate) fn remove(headers: &mut HeaderMap) {
    if !protocols(headers).any(|protocol| protocol.starts_with(PREFIX)) {
        return;
    }
    let rest: Vec<&str> = protocols(headers).filter(|protocol| !protocol.starts_with(PREFIX)).collect();
    let rest = HeaderValue::from_str(&rest.join(", ")).expect("parts of header values are header values");
    headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(protocols: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(protocols).unwrap());
        headers
    }

    #[test]
    fn a_token_is_found_among_the_protocols_and_goes_no_further() {
        let mut with = headers("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.YS5iLmM");
        assert_eq!(find(&with).as_deref(), Some("a.b.c"));
        remove(&mut with);
        assert_eq!(with[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
        assert_eq!(find(&with), None);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for odd in [
            "",
            "v4.channel.k8s.io",
            "base64url.bearer.authorization.k8s.io.",
            &format!("{PREFIX}%"),
            &format!("{PREFIX}_w"),
        ] {
            assert_eq!(find(&headers(odd)), None, "{odd}");
        }
        let mut plain = headers(&format!("{PREFIX}YS5iLmM"));
        plain.remove(UPGRADE);
        assert_eq!(find(&plain), None, "not a WebSocket");
    }
}
