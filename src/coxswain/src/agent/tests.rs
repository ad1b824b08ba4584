//! Joining against a server that is wrong in one way: what it says decides, and nothing is kept.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::DATE;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::{Span, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::home::Home;
use super::{AgentOptions, join};
use crate::config::{ThresholdOptions, VERSION};
use crate::datadir::DataDir;
use crate::join_token::Pin;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// What a server is like.
#[derive(Clone)]
struct Server {
    /// Which authority it claims to have.
    claimed: Arc<Authority>,
    /// Which one has signed its certificate.
    signed_by: Arc<Authority>,
    /// For which address.
    name: &'static str,
    version: &'static str,
    /// How far its clock is ahead.
    ahead: Span,
}

fn authority() -> Arc<Authority> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "test");
    Arc::new(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
}

impl Server {
    /// One that has nothing wrong with it but that it does not know the token.
    fn good() -> Self {
        let claimed = authority();
        Self { signed_by: claimed.clone(), claimed, name: "127.0.0.1", version: VERSION, ahead: Span::new() }
    }

    /// Tries to join it, and answers why that failed.
    async fn refusal(self) -> String {
        rustls::crypto::ring::default_provider().install_default().ok();
        let pin = Pin::of(self.claimed.pem().as_bytes()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(self.serve(listener));
        let options = AgentOptions {
            server: Some(format!("https://{address}")),
            token_file: None,
            token: Some(format!("abc123.0123456789abcdef@{pin}")),
            data_dir: PathBuf::new(),
            node_name: Some("a".to_owned()),
            node_ip: None,
            plain_http_registries: Vec::new(),
            thresholds: ThresholdOptions::default(),
        };
        let directory =
            std::env::temp_dir().join(format!("coxswain-join-{}-{}", std::process::id(), address.port()));
        let data = DataDir::hold(&directory).unwrap();
        let home = Home::of(&data).unwrap();
        let outcome = join::join(join::Wanted::of(&options).unwrap(), &home).await;
        assert!(home.member().unwrap().is_none(), "something was kept");
        serving.abort();
        std::fs::remove_dir_all(directory).unwrap();
        format!("{:#}", outcome.err().expect("the server is wrong"))
    }

    async fn serve(self, listener: TcpListener) {
        let acceptor = self.acceptor();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, server) = (acceptor.clone(), self.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request| {
                    let answer = server.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let builder = http2::Builder::new(TokioExecutor::new());
                // The client goes away when it has refused the server.
                builder.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![self.name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.signed_by).unwrap().pem();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (code, body) = match request.uri().path() {
            "/api/v1/namespaces/kube-public/configmaps/cluster-info" => (StatusCode::OK, self.cluster_info()),
            "/version" => (
                StatusCode::OK,
                json!({"major": "1", "minor": "0", "gitVersion": self.version, "gitCommit": "", "gitTreeState": "",
                    "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            ),
            "/api/v1/nodes/a" => (StatusCode::NOT_FOUND, status(404, "NotFound")),
            _ => (StatusCode::FORBIDDEN, status(403, "Forbidden")),
        };
        let time = Timestamp::now().checked_add(self.ahead).unwrap();
        Response::builder()
            .status(code)
            .header(DATE, time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .body(Full::new(body.to_string().into()))
            .unwrap()
    }

    fn cluster_info(&self) -> serde_json::Value {
        let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": {
            "certificate-authority-data": BASE64.encode(self.claimed.pem()),
        }}]});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info"},
            "data": {"kubeconfig": kubeconfig.to_string()}})
    }
}

fn status(code: u16, reason: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": reason,
        "reason": reason, "code": code})
}

async fn check(server: Server, expected: &str) {
    let refusal = server.refusal().await;
    assert!(refusal.contains(expected), "{refusal}");
}

#[tokio::test]
async fn a_clock_ten_minutes_off_is_noticed_before_anything_is_asked() {
    let ten = Span::new().minutes(10);
    check(Server { ahead: ten, ..Server::good() }, "10 minutes behind the server's").await;
    check(Server { ahead: -ten, ..Server::good() }, "10 minutes ahead of the server's").await;
}

#[tokio::test]
async fn a_server_of_an_older_minor_version_takes_no_newer_agent() {
    check(Server { version: "v1.35.9", ..Server::good() }, "is newer than its server (v1.35.9)").await;
    check(Server { version: "v1.40.0", ..Server::good() }, "more than 3 minor versions older").await;
}

#[tokio::test]
async fn a_server_that_claims_an_authority_which_did_not_sign_its_certificate_is_not_trusted() {
    check(Server { signed_by: authority(), ..Server::good() }, "certificate of another authority").await;
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_accepted() {
    check(Server { name: "example.com", ..Server::good() }, "does not name this host").await;
}

#[tokio::test]
async fn a_refused_request_is_told_in_the_servers_words() {
    check(Server::good(), "cannot get a certificate for this node: the request is refused").await;
}
