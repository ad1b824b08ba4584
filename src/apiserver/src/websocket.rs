//! Bytes over WebSocket: an answer's body as messages, for clients that can read a stream in no other way (upstream
//! `apimachinery/pkg/util/httpstream/wsstream`'s `Reader`).
//!
//! Takes the client's upgrade request and a body, answers 101 and sends the body until either side ends. What the client
//! says is not listened to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use machinery::Status;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::body::{self, Body};

type Sink = SplitSink<WebSocketStream<TokioIo<Upgraded>>, Message>;

/// How bytes become messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Binary,
    Base64,
}

impl Protocol {
    const NAMES: [(&str, Protocol); 2] =
        [("binary.k8s.io", Protocol::Binary), ("base64.binary.k8s.io", Protocol::Base64)];

    /// The first that the client offers and that is known, with its name; binary where it offers none.
    fn choose(headers: &HeaderMap) -> Result<(Option<&'static str>, Protocol), Status> {
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let offered: Vec<&str> = values.flat_map(|value| value.split(',').map(str::trim)).collect();
        if offered.is_empty() {
            return Ok((None, Protocol::Binary));
        }
        let known = offered.iter().find_map(|name| Self::NAMES.into_iter().find(|(own, _)| own == name));
        let (name, protocol) = known.ok_or_else(|| {
            Status::bad_request(format!("none of the WebSocket protocols {offered:?} is served here"))
        })?;
        Ok((Some(name), protocol))
    }

    fn message(self, bytes: Bytes) -> Message {
        match self {
            Protocol::Binary => Message::Binary(bytes),
            Protocol::Base64 => Message::text(STANDARD.encode(bytes)),
        }
    }
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|own| own.trim().eq_ignore_ascii_case(word))
    };
    has(CONNECTION, "upgrade") && has(UPGRADE, "websocket")
}

/// Answers an upgrade request; `content` follows as messages, one for each piece of it.
pub(crate) fn answer(mut client: Parts, content: Body) -> Result<Response<Body>, Status> {
    let (name, protocol) = Protocol::choose(&client.headers)?;
    let on_client = client.extensions.remove::<OnUpgrade>();
    let (Some(on_client), Some(key)) = (on_client, client.headers.get(SEC_WEBSOCKET_KEY)) else {
        return Err(Status::bad_request("this connection cannot become a WebSocket"));
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(Status::internal)?;
    tokio::spawn(async move {
        match on_client.await {
            Ok(upgraded) => run(upgraded, protocol, content).await,
            Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
        }
    });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.extend(name.map(|name| (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name))));
    Ok(response)
}

/// Sends until the content has ended or the client has gone.
async fn run(upgraded: Upgraded, protocol: Protocol, content: Body) {
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (sink, mut source) = socket.split();
    // Read, so that pings are answered and the end is noticed.
    let gone = async { while let Some(Ok(_)) = source.next().await {} };
    tokio::select! {
        () = gone => {}
        () = send(sink, protocol, content) => {}
    }
}

async fn send(mut sink: Sink, protocol: Protocol, mut content: Body) {
    while let Some(frame) = content.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return tracing::debug!(%error, "what is sent over a WebSocket broke off"),
        };
        let Ok(bytes) = frame.into_data() else { continue };
        if let Err(error) = sink.send(protocol.message(bytes)).await {
            return tracing::debug!(%error, "a WebSocket ended");
        }
    }
    let end = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    if let Err(error) = sink.send(Message::Close(Some(end))).await {
        tracing::debug!(%error, "a WebSocket ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_protocol_is_spoken() {
        let check = |offered: &'static str, expected: Option<(Option<&'static str>, Protocol)>| {
            let offered = (!offered.is_empty()).then(|| HeaderValue::from_static(offered));
            let headers = HeaderMap::from_iter(offered.map(|offered| (SEC_WEBSOCKET_PROTOCOL, offered)));
            assert_eq!(Protocol::choose(&headers).ok(), expected);
        };
        check("", Some((None, Protocol::Binary)));
        check("binary.k8s.io", Some((Some("binary.k8s.io"), Protocol::Binary)));
        check("x, base64.binary.k8s.io", Some((Some("base64.binary.k8s.io"), Protocol::Base64)));
        check("v4.channel.k8s.io", None);
    }

    #[test]
    fn a_websocket_is_asked_for_by_two_headers() {
        let headers = |connection: &'static str, upgrade: &'static str| {
            let value = HeaderValue::from_static;
            HeaderMap::from_iter([(CONNECTION, value(connection)), (UPGRADE, value(upgrade))])
        };
        assert!(is_asked_for(&headers("keep-alive, Upgrade", "WebSocket")));
        assert!(!is_asked_for(&headers("close", "websocket")));
        assert!(!is_asked_for(&headers("upgrade", "SPDY/3.1")));
    }
}
