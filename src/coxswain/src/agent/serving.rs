//! How the kubelet of an agent serves: with the newest of its certificates, to clients of the cluster's authority and, as
//! far as TLS goes, to those without a certificate. Until there is one, handshakes fail.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::authority;
use super::certificate::Certificate;

/// The certificate in use.
#[derive(Default)]
pub(super) struct Serving(RwLock<Option<Arc<CertifiedKey>>>);

impl Serving {
    /// None yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Serves with this certificate from the next connection on.
    pub(super) fn install(&self, certificate: &Certificate) -> anyhow::Result<()> {
        let (chain, key) = certificate.der()?;
        let certified = CertifiedKey::from_der(chain, key, &default_provider())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// The kubelet's TLS settings.
    pub(super) fn tls(self: &Arc<Self>, authority: &str) -> anyhow::Result<Arc<ServerConfig>> {
        let roots = Arc::new(authority::roots(authority)?);
        let clients = WebPkiClientVerifier::builder(roots).allow_unauthenticated().build()?;
        let config =
            ServerConfig::builder().with_client_cert_verifier(clients).with_cert_resolver(self.clone());
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}
