//! What a node joins with: a bootstrap token and the hash of the authority that it may trust, in one word
//! `<id>.<secret>@sha256:<hash>` (upstream's token and kubeadm's `--discovery-token-ca-cert-hash`).

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, anyhow, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A token to join with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinToken {
    /// The public part.
    pub(crate) id: String,
    /// The secret part.
    pub(crate) secret: String,
    /// The authority that the cluster must have.
    pub(crate) pin: Pin,
}

/// The SHA-256 of an authority's public key (its SubjectPublicKeyInfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin([u8; 32]);

impl Pin {
    /// The pin of a certificate (PEM).
    ///
    /// # Errors
    /// It is no certificate.
    pub(crate) fn of(pem: &[u8]) -> anyhow::Result<Self> {
        let der =
            CertificateDer::from_pem_slice(pem).context("the authority's certificate cannot be read")?;
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|error| anyhow!("the authority's certificate cannot be read: {error}"))?;
        Ok(Self(Sha256::digest(certificate.public_key().raw).into()))
    }
}

impl JoinToken {
    /// What stands in the `Authorization` header.
    pub(crate) fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.id, self.secret, self.pin)
    }
}

impl FromStr for Pin {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash)
            .map_err(|_| anyhow!("the hash {text:?} is not of the form sha256:<64 hexadecimal digits>"))?;
        Ok(Self(hash))
    }
}

impl FromStr for JoinToken {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (token, pin) = text.trim().split_once('@').unwrap_or((text.trim(), ""));
        let Some((id, secret)) = objects::bootstrap_token::split(token) else {
            bail!(
                "the token is not of the form <id>.<secret>@sha256:<hash>: copy all of what `coxswain token create` printed"
            );
        };
        if pin.is_empty() {
            bail!(
                "the token has no @sha256:<hash>, by which the cluster is known: copy all of what `coxswain token create` printed"
            );
        }
        Ok(Self { id: id.to_owned(), secret: secret.to_owned(), pin: pin.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::PublicKeyData;

    use super::*;

    fn parse(text: &str) -> Result<JoinToken, String> {
        text.parse().map_err(|error: anyhow::Error| error.to_string())
    }

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let text = format!("abc123.0123456789abcdef@sha256:{}", "0f".repeat(32));
        assert_eq!(parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn what_is_missing_of_a_token_is_said() {
        let check = |text: &str, expected: &str| {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        };
        check("abc", "not of the form <id>.<secret>");
        check("abc123.0123456789abcdef", "has no @sha256:<hash>");
        check("abc123.0123456789abcdef@sha256:12", "64 hexadecimal digits");
    }

    #[test]
    fn the_pin_is_that_of_the_public_key() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = |name: &str| {
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        let (one, two) = (certificate("a"), certificate("b"));
        assert_eq!(Pin::of(one.as_bytes()).unwrap(), Pin::of(two.as_bytes()).unwrap());
        assert_eq!(Pin::of(one.as_bytes()).unwrap().0[..], Sha256::digest(key.subject_public_key_info())[..]);
    }
}
