//! The client certificate of a connection, checked once per connection against the cluster's client CA.
//!
//! TLS itself accepts any certificate (see `crate::tls`), so that a wrong one is answered with upstream's 401 instead of a
//! broken handshake. The result rides on each request of the connection as an extension; `authenticate` reads it.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Error;
use crate::user::{AUTHENTICATED, User};

/// Whom the connection's certificate names.
#[derive(Clone, Debug)]
pub enum Peer {
    /// No certificate was shown.
    Nobody,
    /// A certificate that the client CA vouches for.
    Known(Arc<User>),
    /// A certificate that it does not vouch for, and why.
    Refused(String),
}

/// Checks certificates against the client CA.
#[derive(Clone, Debug)]
pub struct PeerVerifier(Arc<dyn ClientCertVerifier>);

impl PeerVerifier {
    /// Reads the CA's certificates (PEM).
    ///
    /// # Errors
    /// One of them cannot be read, or there is none.
    pub fn new(client_ca: &[u8]) -> Result<PeerVerifier, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(client_ca) {
            let certificate = certificate.map_err(|error| Error::ClientCa(error.to_string()))?;
            roots.add(certificate).map_err(|error| Error::ClientCa(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(PeerVerifier(verifier.map_err(|error| Error::ClientCa(error.to_string()))?))
    }

    /// Judges the chain a client showed.
    pub fn judge(&self, chain: Option<&[CertificateDer<'_>]>) -> Peer {
        let Some((leaf, intermediates)) = chain.and_then(<[_]>::split_first) else {
            return Peer::Nobody;
        };
        if let Err(error) = self.0.verify_client_cert(leaf, intermediates, UnixTime::now()) {
            return Peer::Refused(error.to_string());
        }
        match user_of(leaf) {
            Ok(user) => Peer::Known(Arc::new(user)),
            Err(why) => Peer::Refused(why),
        }
    }
}

/// The common name is the user, each organization a group (upstream `request/x509`).
fn user_of(certificate: &CertificateDer<'_>) -> Result<User, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if name.is_empty() {
        return Err("the certificate's subject has no common name".to_owned());
    }
    let organizations = subject.iter_organization().filter_map(|name| name.as_str().ok());
    let fingerprint = hex(&Sha256::digest(certificate));
    Ok(User {
        name: name.to_owned(),
        groups: organizations.chain([AUTHENTICATED]).map(str::to_owned).collect(),
        extra: [(
            "authentication.kubernetes.io/credential-id".to_owned(),
            vec![format!("X509SHA256={fingerprint}")],
        )]
        .into(),
        ..User::default()
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
