//! A PD that is not the one that was meant, that does not know us, or that is not there: what is wrong is said, and soon.
//!
//! The PD of these tests is a listener that does TLS and nothing else: it never comes to more.

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, Stream};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use store::tikv::{self, Place, Tls};

/// Longer than anybody waits before concluding that nothing happens any more.
const PATIENCE: Duration = Duration::from_secs(60);

struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params(name).signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What a client has that believes this authority, with a certificate of another or the same.
    fn client(&self, directory: &Path, issuer: &Self) -> Tls {
        let (certificate, key) = issuer.issue("client");
        let write = |name: &str, content: String| -> PathBuf {
            let path = directory.join(name);
            fs::write(&path, content).unwrap();
            path
        };
        Tls {
            ca: write("ca.crt", self.certificate.pem()),
            certificate: write("tls.crt", certificate.pem()),
            key: write("tls.key", key.serialize_pem()),
        }
    }

    /// Listens with a certificate of this authority, to clients that have one, too.
    fn listen(&self) -> SocketAddr {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let (certificate, key) = self.issue("pd");
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key);
        let config = Arc::new(config.unwrap());
        serve(move |mut connection| {
            let mut session = ServerConnection::new(config.clone()).unwrap();
            // It ends when the client does not believe us, or we do not believe it: rustls tells the client so.
            drop(Stream::new(&mut session, &mut connection).read_to_end(&mut Vec::new()));
        })
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Takes connections for as long as the tests run.
fn serve(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    std::thread::spawn(move || {
        for connection in listener.incoming().map(Result::unwrap) {
            let each = each.clone();
            std::thread::spawn(move || each(connection));
        }
    });
    address
}

/// Opening fails before anybody loses patience, and says where and why.
#[track_caller]
fn check(address: SocketAddr, tls: Option<Tls>, why: &str) {
    let place = Place { endpoints: vec![address.to_string()], prefix: "m/".to_owned(), tls };
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(tikv::open(&place).map(drop)));
    let refused = told.recv_timeout(PATIENCE).expect("it does not hang").unwrap_err().to_string();
    for part in [&format!("no PD answers at {address}"), why, "authority, certificate and key"] {
        assert!(refused.contains(part), "{part:?} is not said: {refused}");
    }
}

#[test]
fn a_pd_of_another_authority_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    check(theirs.listen(), Some(ours.client(directory.path(), &theirs)), "UnknownIssuer");
}

#[test]
fn a_pd_that_does_not_believe_our_certificate_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    check(theirs.listen(), Some(theirs.client(directory.path(), &ours)), "UnknownCA");
}

#[test]
fn a_pd_that_wants_certificates_is_not_reached_without() {
    check(Authority::new("theirs").listen(), None, "it speaks TLS, and no certificates were given");
}

#[test]
fn a_pd_that_knows_no_certificates_is_not_reached_with_some() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Authority::new("ours");
    // As whoever speaks another protocol does, it ends the connection.
    let plain = serve(|mut connection| drop(connection.read(&mut [0; 16])));
    check(plain, Some(ours.client(directory.path(), &ours)), "TLS with it fails");
}

#[test]
fn nobody_waits_for_a_pd_that_is_silent() {
    let silent = serve(|mut connection| drop(connection.read_to_end(&mut Vec::new())));
    check(silent, None, "it takes the connection and says nothing");
}

#[test]
fn a_port_at_which_nobody_listens_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(address, None, "onnection refused");
}
