//! The way to what listens in pods: plain HTTP, or HTTPS whose certificate nobody checks, as upstream's proxy to pods and
//! services (`apimachinery/pkg/util/proxy`).
//!
//! Passes a client's request on, upgrades included, without the client's credentials, and its answer back; in HTML, links
//! to the target are made to lead through here (`links`). Chooses no address: `special/proxy` does.

mod links;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::Status;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::{self, Body};
use crate::chain::authenticate::websocket_token;
use crate::kubelet_proxy::copy;
use crate::tls::AnyServer;
use links::Origin;

const CONNECT: Duration = Duration::from_secs(30);
/// How large a page may be; its links cannot be rewritten while it flows.
const PAGE_LIMIT: usize = 64 * 1024 * 1024;

/// Headers that are about one connection (RFC 9110, 7.6.1), and those that only the API server may know.
const KEPT_BACK: [HeaderName; 10] = [
    AUTHORIZATION,
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Where a request goes.
pub(crate) struct Target {
    pub(crate) speech: Speech,
    pub(crate) address: SocketAddr,
}

/// What is spoken there.
pub(crate) enum Speech {
    Http,
    /// With whatever certificate the target has.
    Https,
    /// As the API server, with a kubelet that has the cluster's certificate.
    Kubelet(TlsConnector),
}

/// Passes a request on. `prefix` is the part of the client's path that the target does not see, `path` the rest.
pub(crate) async fn forward(
    target: &Target,
    prefix: &str,
    path: PathAndQuery,
    mut client: Parts,
    body: Body,
) -> Result<Response<Body>, Status> {
    let on_client = client.extensions.remove::<OnUpgrade>().filter(|_| client.headers.contains_key(UPGRADE));
    let asked = asked_host(&client);
    let request = request(target, prefix, path, &client, on_client.is_some(), body)?;
    let mut response = send(target, request).await.map_err(|error| unreachable(&error))?;
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(on_client)) = (response.status(), on_client) {
        let on_target = hyper::upgrade::on(&mut response);
        tokio::spawn(copy(on_client, on_target));
        let mut answer = Response::new(body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        return Ok(answer);
    }
    let (mut parts, stream) = response.into_parts();
    KEPT_BACK.iter().for_each(|name| drop(parts.headers.remove(name)));
    let address = target.address.to_string();
    let origin = Origin { hosts: [&address, &asked], prefix };
    point_back(&mut parts.headers, &origin);
    let body = match is_page(&parts.headers) {
        true => page(&mut parts.headers, &origin, stream).await?,
        false => body::boxed(stream),
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = parts.headers;
    Ok(answer)
}

fn is_page(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/html")
}

/// A page as a whole, links rewritten.
async fn page(headers: &mut HeaderMap, origin: &Origin<'_>, stream: Incoming) -> Result<Body, Status> {
    let read = Limited::new(stream, PAGE_LIMIT).collect().await;
    let read = read.map_err(|error| Status::service_unavailable(format!("reading a page: {error}")))?;
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let page = origin.page(read.to_bytes().into(), encoding);
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(page.len()));
    }
    Ok(body::full(page))
}

/// The host that the client believes to speak with.
fn asked_host(client: &Parts) -> String {
    let header = || client.headers.get(HOST).and_then(|host| host.to_str().ok());
    client.uri.authority().map(Authority::as_str).or_else(header).unwrap_or_default().to_owned()
}

fn request(
    target: &Target,
    prefix: &str,
    path: PathAndQuery,
    client: &Parts,
    upgrades: bool,
    body: Body,
) -> Result<Request<Body>, Status> {
    let mut headers = client.headers.clone();
    KEPT_BACK.iter().for_each(|name| drop(headers.remove(name)));
    websocket_token::remove(&mut headers);
    if upgrades {
        for name in [CONNECTION, UPGRADE] {
            headers.extend(client.headers.get(&name).map(|value| (name, value.clone())));
        }
    }
    let value = |text: &str| HeaderValue::from_str(text).map_err(Status::internal);
    let asked = client.uri.host().or_else(|| client.headers.get(HOST).and_then(|host| host.to_str().ok()));
    headers.insert("x-forwarded-host", value(asked.unwrap_or_default())?);
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    headers.insert("x-forwarded-uri", value(&format!("{prefix}{}", path.path()))?);
    headers.insert(HOST, value(&target.address.to_string())?);
    let mut request = Request::new(body);
    *request.method_mut() = client.method.clone();
    *request.uri_mut() = Uri::from(path);
    *request.headers_mut() = headers;
    Ok(request)
}

/// A redirection within the target is one within its path here.
fn point_back(headers: &mut HeaderMap, origin: &Origin<'_>) {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let rewritten = location.and_then(|location| origin.rewritten(location));
    if let Some(value) = rewritten.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(LOCATION, value);
    }
}

type BoxError = body::BoxError;

async fn send(target: &Target, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
    let connect = async {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(target.address.ip().into());
        match &target.speech {
            Speech::Http => speak(stream).await,
            Speech::Https => {
                speak(TlsConnector::from(Arc::new(unchecked()?)).connect(name, stream).await?).await
            }
            Speech::Kubelet(connector) => speak(connector.connect(name, stream).await?).await,
        }
    };
    let mut sender = tokio::time::timeout(CONNECT, connect).await??;
    Ok(sender.send_request(request).await?)
}

async fn speak<S>(stream: S) -> Result<http1::SendRequest<Body>, BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a pod ended with an error");
        }
    });
    Ok(sender)
}

fn unreachable(error: &BoxError) -> Status {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        causes = format!("{causes}: {cause}");
        source = cause.source();
    }
    Status::service_unavailable(format!("error trying to reach service: {causes}"))
}

/// Who listens at a pod's address is known by the address.
fn unchecked() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyServer::new(&provider));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_within_the_target_stay_below_the_prefix() {
        let origin = Origin { hosts: ["10.0.0.1:8080", "api"], prefix: "/prefix" };
        for (given, expected) in [
            ("/a?b=c", "/prefix/a?b=c"),
            ("http://10.0.0.1:8080/a", "/prefix/a"),
            ("http://elsewhere/a", "http://elsewhere/a"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static(given));
            point_back(&mut headers, &origin);
            assert_eq!(headers[LOCATION], expected, "{given}");
        }
    }

    #[test]
    fn only_html_is_a_page() {
        for (content_type, expected) in
            [("text/html", true), ("TEXT/HTML; charset=utf-8", true), ("application/json", false)]
        {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
            assert_eq!(is_page(&headers), expected, "{content_type}");
        }
    }
}
