//! Trust: TLS settings that trust one authority, or, for the first look, nobody in particular; and what is wrong with a
//! certificate, in words that say what to do.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use apiserver::AnyServer;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::certificate::Certificate;

const PROTOCOL: &[u8] = b"h2";

/// The authority's certificate (PEM) as the only one to trust.
pub(super) fn roots(authority: &str) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(authority.as_bytes())
        .map_err(|error| anyhow!("the cluster's authority cannot be read: {error}"))?;
    roots.add(certificate).context("the cluster's authority cannot be used")?;
    Ok(roots)
}

/// Trusts servers of this authority, and shows them a certificate.
pub(super) fn client_tls(authority: &str, own: Option<&Certificate>) -> anyhow::Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder().with_root_certificates(roots(authority)?);
    let mut config = match own {
        Some(own) => {
            let (chain, key) = own.der()?;
            builder.with_client_auth_cert(chain, key).context("the node's certificate cannot be used")?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// Trusts anybody: for public information whose authority is judged by its hash afterwards.
pub(super) fn trusting_tls() -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer::new(&ring::default_provider())))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Arc::new(config)
}

/// What is wrong with a server's certificate, if that is why there is no connection.
pub(super) fn complaint(error: &std::io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(wrong) = inner else { return None };
    Some(match wrong {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "has a certificate of another authority than the cluster that this node is of: was the cluster made anew? \
             Then remove this node with `coxswain reset` and join again"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has a certificate that has expired: compare the clocks of both machines".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "has a certificate that is not valid yet: compare the clocks of both machines".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "has a certificate that does not name this host: use one of the server's addresses, or start the server with \
             --tls-san for this one"
                .to_owned()
        }
        other => format!("has a certificate that is wrong: {other}"),
    })
}
