//! The kubelet's HTTPS API.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::cluster::{Cluster, NODES, soon};

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_served_to_those_who_may_read_them() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.until_status("web", "/phase", json!("Running")).await;
    let get = |path: &'static str, token: Option<&'static str>| soon(get(&cluster, path, token));
    let path = "/containerLogs/default/web/web?timestamps=true";
    assert_eq!(get(path, Some("admin")).await, (200, "2026-01-01T00:00:00Z hello\n".into()));
    let (code, text) = get(path, Some("nobody")).await;
    assert_eq!(
        (code, text.as_str()),
        (403, "Forbidden (user=nobody, verb=get, resource=nodes, subresource=proxy)\n")
    );
    // Longer than there has been time: everything.
    let path_of_all = "/containerLogs/default/web/web?sinceSeconds=9223372036854775807";
    assert_eq!(get(path_of_all, Some("admin")).await, (200, "hello\n".into()));
    assert_eq!(get(path, None).await.0, 401);
    assert_eq!(get("/containerLogs/default/web/other", Some("admin")).await.0, 404);
    let (code, pods) = get("/pods", Some("admin")).await;
    assert_eq!(code, 200);
    assert!(pods.contains("uid-of-web"));
    let (code, text) = get("/containerLogs/default/web/web?previous=true", Some("admin")).await;
    assert_eq!(
        (code, text.as_str()),
        (400, "previous terminated container \"web\" in pod \"web\" not found\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_ends_with_its_container() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "c", "image": "present"}], "restartPolicy": "Never"}));
    cluster.until_status("web", "/phase", json!("Running")).await;
    let container = cluster.runtime.container("c").unwrap();
    let follow = get(&cluster, "/containerLogs/default/web/c?follow=true", Some("admin"));
    let write = async {
        let mut log = std::fs::OpenOptions::new().append(true).open(&container.status.log_path).unwrap();
        log.write_all(b"2026-01-01T00:00:01Z stdout F bye\n").unwrap();
        cluster.runtime.exit(&container.status.id, 0);
    };
    let (answer, ()) = tokio::join!(soon(follow), write);
    assert_eq!(answer, (200, "hello\nbye\n".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_is_passed_through_byte_for_byte() {
    let cluster = Cluster::ready().await;
    cluster.pod("web", json!({"containers": [{"name": "web", "image": "present"}]}));
    cluster.until_status("web", "/phase", json!("Running")).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/exec/x", listener.local_addr().unwrap());
    cluster.runtime.books(|books| books.exec_url = url);
    let streams = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n")
            .await
            .unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        asked
    });
    let mut stream = connect(&cluster).await;
    let request = "GET /exec/default/web/web?command=cat&command=a%20b&input=1&output=1 HTTP/1.1\r\nHost: node\r\n\
        Authorization: Bearer admin\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = soon(head(&mut stream)).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(b"\x00\xffhello").await.unwrap();
    let mut echo = [0; 7];
    soon(stream.read_exact(&mut echo)).await.unwrap();
    assert_eq!(&echo, b"\x00\xffhello");
    drop(stream);
    let asked = soon(streams).await.unwrap().to_lowercase();
    assert!(asked.starts_with("get /exec/x http/1.1\r\n"), "{asked}");
    assert!(asked.contains("upgrade: test") && !asked.contains("authorization"), "{asked}");
}

/// Reads the head of a message, byte by byte so that nothing after it is lost.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn connect(cluster: &Cluster) -> TlsStream<TcpStream> {
    let node = cluster.api.get(NODES, "node").unwrap();
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64().unwrap();
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).await.unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(ServerName::try_from("node").unwrap(), stream).await.unwrap()
}

async fn get(cluster: &Cluster, path: &str, token: Option<&str>) -> (u16, String) {
    let stream = connect(cluster).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::get(path).header("Host", "node");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

/// The server's certificate is made anew for every test.
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
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
