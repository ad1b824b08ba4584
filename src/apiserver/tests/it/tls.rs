//! The same through a real socket: TLS, client certificates, a drain.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Pki, identity};

/// What connects as a client with this certificate, speaking one protocol.
pub(crate) fn connector(pki: &Pki, client: Option<(String, String)>, protocol: &str) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A cluster's server on a socket of loopback.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    pub(crate) cancel: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), apiserver::Error>>,
}

impl Serving {
    pub(crate) async fn start(cluster: &Cluster) -> Serving {
        let (certificate, key) = cluster.pki.issue("kube-apiserver", None);
        let tls = apiserver::server_config(identity(&certificate, &key)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let (server, until) = (cluster.server.clone(), cancel.clone());
        let task = tokio::spawn(async move { server.serve(listener, tls, until).await });
        Serving { address, cancel, task }
    }
}

/// A token of a service account that may do nothing.
async fn token(cluster: &Cluster) -> String {
    let (admin, accounts) = (cluster.admin(), "/api/v1/namespaces/default/serviceaccounts");
    let account = json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": "robot"}});
    admin.post(accounts, account).await.expect(201);
    let request = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}});
    let answer = admin.post(&format!("{accounts}/robot/token"), request).await.expect(201);
    answer.at("/status/token").as_str().unwrap().to_owned()
}

#[tokio::test]
async fn clients_are_known_by_their_certificates_and_watches_end_with_the_server() {
    let cluster = Cluster::start().await;
    let Serving { address, cancel, task } = Serving::start(&cluster).await;
    let foreign = Cluster::start().await;
    let send = async |client: Option<(String, String)>, path: &str, token: Option<&str>| {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector(&cluster.pki, client, "h2").connect(name, stream).await.unwrap();
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let uri = format!("https://{address}{path}");
        let mut request = Request::get(uri);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        sender.send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap()).await.unwrap()
    };
    let get = async |client, path: &str| send(client, path, None).await;
    assert_eq!(get(None, "/readyz").await.status(), 200);
    assert_eq!(get(None, "/api/v1/namespaces").await.status(), 403, "nobody in particular");
    let admin = cluster.pki.issue("admin", Some("system:masters"));
    assert_eq!(get(Some(admin.clone()), "/api/v1/namespaces").await.status(), 200);
    let stranger = foreign.pki.issue("admin", Some("system:masters"));
    assert_eq!(get(Some(stranger.clone()), "/api/v1/namespaces").await.status(), 401);
    let unnamed = cluster.pki.issue("", Some("system:masters"));
    assert_eq!(get(Some(unnamed), "/api/v1/namespaces").await.status(), 401, "a certificate without a name");

    // A certificate that holds decides; one that does not leaves it to the token.
    let token = token(&cluster).await;
    let myself = "/api/v1/namespaces/default/serviceaccounts/robot";
    assert_eq!(send(None, myself, Some(&token)).await.status(), 403, "known, but allowed nothing");
    assert_eq!(send(None, "/api", Some(&token)).await.status(), 200);
    assert_eq!(send(None, "/api", Some("nonsense")).await.status(), 401);
    assert_eq!(send(Some(admin.clone()), "/api/v1/namespaces", Some("nonsense")).await.status(), 200);
    assert_eq!(send(Some(stranger.clone()), "/api", Some(&token)).await.status(), 200);
    assert_eq!(send(Some(stranger), "/api", Some("nonsense")).await.status(), 401);

    let watch = get(Some(admin), "/api/v1/namespaces?watch=1").await;
    cancel.cancel();
    watch.into_body().collect().await.unwrap();
    task.await.unwrap().unwrap();
}
