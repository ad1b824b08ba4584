//! A server of its own for each test, and a client that says who it is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, Body, Config, InProcess, KubeletClient, ServiceAccountKeys, User};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use serde_json::Value;
use store::Store;
use tower::ServiceExt;

/// The certificates of a test cluster.
pub(crate) struct Pki {
    pub(crate) ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Pki {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        Pki { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    /// Certificate and key (PEM) of a client in one group, or of a server on loopback.
    pub(crate) fn issue(&self, name: &str, group: Option<&str>) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap().pem(), key.serialize_pem())
    }
}

pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    pub(crate) store: Store,
    pub(crate) pki: Pki,
    /// The key (PEM) of service account tokens.
    pub(crate) signing_key: String,
}

/// Who signs service account tokens, and for whom where nobody else is named.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

impl Cluster {
    pub(crate) async fn start() -> Cluster {
        Cluster::with(apiserver::store_options()).await
    }

    /// A cluster that remembers as long as `options` say.
    pub(crate) async fn with(options: store::Options) -> Cluster {
        Cluster::over(Store::open(store::memory::new(), options).await.unwrap()).await
    }

    /// A server over what is there already.
    pub(crate) async fn over(store: Store) -> Cluster {
        Cluster::keeping_events(store, apiserver::EVENT_TTL).await
    }

    /// As `over`, with events that expire after another time.
    pub(crate) async fn keeping_events(store: Store, event_ttl: Duration) -> Cluster {
        let pki = Pki::new();
        let (certificate, key) = pki.issue("kube-apiserver-kubelet-client", Some("system:masters"));
        let signing_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        let config = Config {
            store: store.clone(),
            advertise: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 6443),
            is_one_of_several: false,
            service_cidr: "10.96.0.0/12".parse().unwrap(),
            service_account: ServiceAccountKeys {
                signing_key: signing_key.clone().into_bytes(),
                issuer: ISSUER.to_owned(),
                audiences: vec![ISSUER.to_owned()],
            },
            client_ca: pki.ca.pem().into_bytes(),
            kubelet_client: KubeletClient {
                identity: identity(&certificate, &key),
                ca: pki.ca.pem().into_bytes(),
            },
            version: apiserver::VersionInfo {
                major: "1".to_owned(),
                minor: "36".to_owned(),
                git_version: "v1.36.3".to_owned(),
                ..apiserver::VersionInfo::default()
            },
            event_ttl,
            encryption: std::sync::Arc::default(),
            operations: apiserver::Operations::new(),
        };
        Cluster { server: ApiServer::new(config).await.unwrap(), store, pki, signing_key }
    }

    pub(crate) fn admin(&self) -> Client {
        self.user("admin", &["system:masters"])
    }

    pub(crate) fn user(&self, name: &str, groups: &[&str]) -> Client {
        Client(self.server.in_process(User::new(name, groups)))
    }
}

/// Shows a certificate (both PEM) at every handshake.
pub(crate) fn identity(certificate: &str, key: &str) -> Arc<SingleCertAndKey> {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).unwrap();
    Arc::new(SingleCertAndKey::from(certified))
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// A part of the answer by JSON pointer.
    pub(crate) fn at(&self, pointer: &str) -> Value {
        self.json().pointer(pointer).cloned().unwrap_or(Value::Null)
    }

    pub(crate) fn message(&self) -> String {
        self.at("/message").as_str().unwrap_or_default().to_owned()
    }

    /// Fails the test unless the code is as expected.
    #[track_caller]
    pub(crate) fn expect(self, code: u16) -> Answer {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }
}

#[derive(Clone)]
pub(crate) struct Client(InProcess);

impl Client {
    /// Sends a request: `"GET /api/v1/pods"`, headers as pairs, a body.
    pub(crate) async fn send(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let response = self.open(line, headers, body).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
        }
    }

    /// Sends a request and leaves the answer's body to the caller.
    pub(crate) async fn open(
        &self,
        line: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Body> {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.0.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(&format!("POST {path}"), &[], body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(&format!("PUT {path}"), &[], body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(&format!("DELETE {path}"), &[], "").await
    }

    pub(crate) async fn patch(&self, path: &str, kind: &str, body: Value) -> Answer {
        let media = format!("application/{kind}+json");
        self.send(&format!("PATCH {path}"), &[("content-type", &media)], body.to_string()).await
    }
}

/// A config map with one datum.
pub(crate) fn config_map(name: &str, value: &str) -> Value {
    serde_json::json!({
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"key": value},
    })
}

/// Where config maps of `default` are.
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
