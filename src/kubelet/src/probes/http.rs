//! A probe that asks over HTTP or HTTPS; the same request serves lifecycle hooks.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{run::Answer, tcp};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    https: bool,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(String, String)>,
}

/// The target of an action; `ip` is the pod's.
pub(crate) fn target(action: &HTTPGetAction, container: &Container, ip: &str) -> Result<Target, String> {
    let host = action.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(ip).to_owned();
    let path = action.path.clone().unwrap_or_default();
    let headers = action.http_headers.iter().flatten();
    Ok(Target {
        https: action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")),
        host,
        port: port(&action.port, container)?,
        path: if path.starts_with('/') { path } else { format!("/{path}") },
        headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
    })
}

/// A port by number or by the name the container gives it.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            let named = ports.into_iter().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    let valid = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    valid.ok_or_else(|| match port {
        IntOrString::Int(number) => format!("invalid port number: {number}"),
        IntOrString::String(name) => {
            format!("couldn't find port: {name:?} in container: {:?}", container.name)
        }
    })
}

/// Asks once and follows redirects to the same host; 200 to 399 is success.
pub(super) async fn probe(target: &Target, limit: Duration) -> Answer {
    const REDIRECTS: usize = 10;
    let mut target = target.clone();
    for _ in 0..REDIRECTS {
        match get(&target, "kube-probe", limit).await {
            Err(text) => return Answer::Failure(text),
            Ok((200..=299, _)) => return Answer::Success,
            Ok((300..=399, Some(location))) => match redirected(&target, &location) {
                Some(next) => target = next,
                // Upstream warns and takes a redirect elsewhere for success.
                None => return Answer::Success,
            },
            Ok((300..=399, None)) => return Answer::Success,
            Ok((code, _)) => return Answer::Failure(format!("HTTP probe failed with statuscode: {code}")),
        }
    }
    Answer::Failure(format!("Get {:?}: stopped after {REDIRECTS} redirects", target.url()))
}

/// The target of a redirect that stays on the host.
fn redirected(from: &Target, location: &str) -> Option<Target> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(Target { path: location.to_owned(), ..from.clone() });
    }
    let uri: http::Uri = location.parse().ok()?;
    let https = uri.scheme_str()? == "https";
    let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    (uri.host()? == from.host).then(|| Target { https, port, path, ..from.clone() })
}

impl Target {
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn url(&self) -> String {
        format!("{}://{}{}", if self.https { "https" } else { "http" }, self.authority(), self.path)
    }
}

/// Status code and location of the answer, or why there is none.
pub(crate) async fn get(
    target: &Target,
    agent: &str,
    limit: Duration,
) -> Result<(u16, Option<String>), String> {
    let failed = |text: String| format!("Get {:?}: {text}", target.url());
    let request = async {
        let stream = tcp::connect(&target.host, target.port, limit).await.map_err(failed)?;
        if !target.https {
            return exchange(stream, target, agent).await.map_err(failed);
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(tls());
        let stream = connector.connect(name, stream).await.map_err(|error| failed(error.to_string()))?;
        exchange(stream, target, agent).await.map_err(failed)
    };
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    tokio::time::timeout(limit, request).await.unwrap_or_else(|_| Err(failed(late.into())))
}

async fn exchange<S>(stream: S, target: &Target, agent: &str) -> Result<(u16, Option<String>), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| {
        if error.is_incomplete_message() { "EOF".to_owned() } else { error.to_string() }
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
    // Dropped together with the answer: the connection serves one request.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request(target, agent)?).await.map_err(text);
    connection.abort();
    let answer = answer?;
    let location = answer.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok());
    Ok((answer.status().as_u16(), location.map(str::to_owned)))
}

fn request(target: &Target, agent: &str) -> Result<http::Request<Empty<Bytes>>, String> {
    let own = |name: &str| target.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    let mut request = http::Request::get(&target.path);
    if !own("host") {
        request = request.header("Host", target.authority());
    }
    if !own("user-agent") {
        request = request.header("User-Agent", format!("{agent}/1.36"));
    }
    if !own("accept") {
        request = request.header("Accept", "*/*");
    }
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    request.header("Connection", "close").body(Empty::new()).map_err(|error| error.to_string())
}

/// Probes do not check who answers, as documented for `scheme: HTTPS`.
fn tls() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the ring provider supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(action: Value, expected: Result<&str, &str>) {
        let ports = json!([{"name": "web", "containerPort": 8080}]);
        let container = serde_json::from_value(json!({"name": "c", "ports": ports})).unwrap();
        let actual = target(&serde_json::from_value(action).unwrap(), &container, "10.1.0.5");
        assert_eq!(actual.map(|target| target.url()), expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn the_target_follows_the_action() {
        check(json!({"port": 80}), Ok("http://10.1.0.5:80/"));
        check(
            json!({"port": "web", "path": "healthz?x=1", "scheme": "HTTPS"}),
            Ok("https://10.1.0.5:8080/healthz?x=1"),
        );
        check(json!({"port": "no"}), Err("couldn't find port: \"no\" in container: \"c\""));
        check(json!({"port": 0}), Err("invalid port number: 0"));
    }

    #[test]
    fn redirects_stay_on_the_host() {
        let action = serde_json::from_value(json!({"port": 80})).unwrap();
        let from = target(&action, &Container::default(), "10.1.0.5").unwrap();
        assert_eq!(redirected(&from, "/a").unwrap().url(), "http://10.1.0.5:80/a");
        assert_eq!(
            redirected(&from, "https://10.1.0.5:8443/b?c").unwrap().url(),
            "https://10.1.0.5:8443/b?c"
        );
        assert_eq!(redirected(&from, "http://elsewhere/"), None);
        assert_eq!(redirected(&from, "//elsewhere/"), None);
    }
}
