//! The way to a kubelet, with one that the test plays: logs as they are written, upgraded connections both ways, errors.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::cluster::{Cluster, Pki};
use crate::tls::{Serving, connector};

const PODS: &str = "/api/v1/namespaces/default/pods";

type Body = UnsyncBoxBody<Bytes, Infallible>;
type Log = mpsc::Receiver<Bytes>;

/// A kubelet for pod `p`, whose log is what the test sends, and whose exec echoes.
#[derive(Clone)]
struct Kubelet {
    log: Arc<Mutex<Option<Log>>>,
    /// URI and headers of each request.
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Kubelet {
    /// Starts to listen; only the cluster's own may connect.
    async fn start(pki: &Pki) -> (Kubelet, mpsc::Sender<Bytes>, SocketAddr) {
        let (sender, log) = mpsc::channel(1);
        let kubelet = Kubelet { log: Arc::new(Mutex::new(Some(log))), seen: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(kubelet.clone().serve(listener, acceptor(pki)));
        (kubelet, sender, address)
    }

    async fn serve(self, listener: TcpListener, acceptor: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (kubelet, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let service = service_fn(move |request| {
                    let answer = kubelet.answer(request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                // The test's end may cut it off.
                drop(connection.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
            });
        }
    }

    fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        self.seen.lock().unwrap().push((request.uri().to_string(), request.headers().clone()));
        let full = |code: u16, text: &'static str| {
            let body = Full::new(Bytes::from(text)).boxed_unsync();
            Response::builder().status(code).body(body).unwrap()
        };
        match request.uri().path() {
            "/containerLogs/default/p/c" => {
                let log = self.log.lock().unwrap().take().expect("the log is read once");
                let frames = log.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
                Response::new(StreamBody::new(frames).boxed_unsync())
            }
            "/exec/default/p/c" => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
                    tokio::io::copy(&mut read, &mut write).await.unwrap();
                });
                let mut answer = full(101, "");
                answer.headers_mut().insert(UPGRADE, "websocket".parse().unwrap());
                answer.headers_mut().insert(CONNECTION, "Upgrade".parse().unwrap());
                answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, "v5.channel.k8s.io".parse().unwrap());
                answer
            }
            "/page" => {
                let mut answer = full(200, "<a href=\"/logs/\">logs</a><a href=\"here\">here</a>");
                answer.headers_mut().insert(CONTENT_TYPE, "text/html; charset=utf-8".parse().unwrap());
                answer
            }
            _ => full(404, "container \"c\" not found in pod \"q_default\""),
        }
    }
}

fn acceptor(pki: &Pki) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let (certificate, key) = pki.issue("system:node:n1", None);
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A cluster with pods `p` and `q` on the node of a kubelet at `address`.
async fn with_pods(cluster: &Cluster, address: SocketAddr) {
    let admin = cluster.admin();
    let node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}});
    admin.post("/api/v1/nodes", node).await.expect(201);
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": address.ip()}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": address.port()}}}});
    admin.patch("/api/v1/nodes/n1/status", "merge-patch", status).await.expect(200);
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "default"}});
    admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.expect(201);
    for name in ["p", "q"] {
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}});
        admin.post(PODS, pod).await.expect(201);
    }
}

#[tokio::test]
async fn a_log_arrives_as_it_is_written_and_an_error_as_a_status() {
    let cluster = Cluster::start().await;
    let (kubelet, mut log, address) = Kubelet::start(&cluster.pki).await;
    with_pods(&cluster, address).await;
    let admin = cluster.admin();
    log.send(Bytes::from("one\n")).await.unwrap();
    let line = format!("GET {PODS}/p/log?follow=true&tailLines=5&nonsense=1");
    let response = admin.open(&line, &[("authorization", "Bearer secret")], "").await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    for text in ["one\n", "two\n"] {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
        if text == "one\n" {
            log.send(Bytes::from("two\n")).await.unwrap();
        }
    }
    drop(log);
    assert!(body.frame().await.is_none());
    let (uri, headers) = kubelet.seen.lock().unwrap()[0].clone();
    assert_eq!(uri, "/containerLogs/default/p/c?follow=true&tailLines=5");
    assert!(!headers.contains_key(AUTHORIZATION), "credentials stay with the API server");

    let failed = admin.get(&format!("{PODS}/q/log")).await.expect(404);
    assert_eq!(failed.message(), "container \"c\" not found in pod \"q_default\"");
    let wrong = admin.get(&format!("{PODS}/p/log?container=x")).await.expect(400);
    assert_eq!(wrong.message(), "container x is not valid for pod p");
}

#[tokio::test]
async fn an_exec_is_upgraded_through_to_the_kubelet() {
    let cluster = Cluster::start().await;
    let (kubelet, _log, address) = Kubelet::start(&cluster.pki).await;
    with_pods(&cluster, address).await;
    let path = format!("{PODS}/p/exec?command=sh&command=-c%20ls&stdin=true&stdout=1&tty=false");
    cluster.admin().get(&path).await.expect(400);
    let serving = Serving::start(&cluster).await;
    let protocols = "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io";
    let mut upgraded = upgrade(&cluster, &serving, &path, (protocols, "v5.channel.k8s.io")).await;
    upgraded.write_all(b"hello").await.unwrap();
    let mut echo = [0; 5];
    upgraded.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"hello");
    let (uri, headers) = kubelet.seen.lock().unwrap()[0].clone();
    assert_eq!(uri, "/exec/default/p/c?command=sh&command=%2Dc%20ls&input=1&output=1");
    assert!(!headers.contains_key(AUTHORIZATION));
    assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "v5.channel.k8s.io");
    drop(upgraded);
    serving.cancel.cancel();
    serving.task.await.unwrap().unwrap();
}

/// Opens a WebSocket as the administrator; of the protocols offered, the second word of the pair is spoken.
async fn upgrade(
    cluster: &Cluster,
    serving: &Serving,
    path: &str,
    (offered, spoken): (&str, &str),
) -> TokioIo<Upgraded> {
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let admin = cluster.pki.issue("admin", Some("system:masters"));
    let tls = connector(&cluster.pki, Some(admin), "http/1.1");
    let stream = tls.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::get(path)
        .header("host", "kubernetes")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(AUTHORIZATION, "Bearer secret")
        .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
        .header(SEC_WEBSOCKET_PROTOCOL, offered)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], spoken);
    TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())
}

#[tokio::test]
async fn a_log_comes_over_a_websocket_in_messages() {
    let cluster = Cluster::start().await;
    let (_kubelet, mut log, address) = Kubelet::start(&cluster.pki).await;
    with_pods(&cluster, address).await;
    let serving = Serving::start(&cluster).await;
    log.send(Bytes::from("alive\n")).await.unwrap();
    drop(log);
    let path = format!("{PODS}/p/log?container=c");
    let mut upgraded = upgrade(&cluster, &serving, &path, ("binary.k8s.io", "binary.k8s.io")).await;
    // A binary message of six bytes, then the end with the code 1000.
    let mut frames = [0; 12];
    upgraded.read_exact(&mut frames).await.unwrap();
    assert_eq!(&frames, b"\x82\x06alive\n\x88\x02\x03\xe8");
    drop(upgraded);
    serving.cancel.cancel();
    serving.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_node_is_reached_through_the_api_server_and_its_links_lead_back() {
    let cluster = Cluster::start().await;
    let (_kubelet, _log, address) = Kubelet::start(&cluster.pki).await;
    with_pods(&cluster, address).await;
    let admin = cluster.admin();
    let text = async |path: &str| {
        let response = admin.open(&format!("GET /api/v1/nodes/{path}"), &[], "").await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let port = address.port();
    for node in ["n1".to_owned(), format!("n1:{port}")] {
        let expected =
            format!("<a href=\"/api/v1/nodes/{node}/proxy/logs/\">logs</a><a href=\"here\">here</a>");
        assert_eq!(text(&format!("{node}/proxy/page")).await, (StatusCode::OK, expected));
    }
    // The kubelet's own answers are passed on as they are.
    let (status, told) = text("n1/proxy/absent").await;
    assert_eq!((status, told.starts_with("container")), (StatusCode::NOT_FOUND, true), "{told}");
    // Nobody is led to the API server's own machine.
    let (status, told) = text("n1:1/proxy/").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{told}");
    assert_eq!(text("n2/proxy/").await.0, StatusCode::NOT_FOUND);
}
