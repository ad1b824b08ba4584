//! The way to what listens in pods: plain HTTP, or HTTPS whose certificate nobody checks, as upstream's proxy to pods and
//! services (`apimachinery/pkg/util/proxy`).
//!
//! Passes a client's request on, upgrades included, without the client's credentials, and its answer back. Chooses no
//! address: `special/proxy` does. Never reads a body, so links in HTML stay as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONNECTION, HOST, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::Status;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::{self, Body};
use crate::chain::authenticate::websocket_token;
use crate::kubelet_proxy::copy;

const CONNECT: Duration = Duration::from_secs(30);

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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) is_https: bool,
    pub(crate) address: SocketAddr,
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
    point_back(&mut parts.headers, target, prefix);
    let mut answer = Response::new(body::boxed(stream));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = parts.headers;
    Ok(answer)
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
fn point_back(headers: &mut HeaderMap, target: &Target, prefix: &str) {
    let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
    let Ok(uri) = location.parse::<Uri>() else { return };
    let is_within = uri.authority().is_none_or(|authority| authority.as_str() == target.address.to_string());
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if is_within
        && path.starts_with('/')
        && let Ok(value) = HeaderValue::from_str(&format!("{prefix}{path}"))
    {
        headers.insert(LOCATION, value);
    }
}

type BoxError = body::BoxError;

async fn send(target: &Target, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
    let connect = async {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        if !target.is_https {
            return speak(stream).await;
        }
        let name = ServerName::IpAddress(target.address.ip().into());
        speak(TlsConnector::from(Arc::new(unchecked()?)).connect(name, stream).await?).await
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

fn unchecked() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(AnyCertificate(provider.clone()));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// Takes every certificate: who listens at a pod's address is known by the address.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_within_the_target_stay_below_the_prefix() {
        let target = Target { is_https: false, address: ([10, 0, 0, 1], 8080).into() };
        for (given, expected) in [
            ("/a?b=c", "/prefix/a?b=c"),
            ("http://10.0.0.1:8080/a", "/prefix/a"),
            ("http://elsewhere/a", "http://elsewhere/a"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static(given));
            point_back(&mut headers, &target, "/prefix");
            assert_eq!(headers[LOCATION], expected, "{given}");
        }
    }
}
