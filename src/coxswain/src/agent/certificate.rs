//! A certificate with its key, kept in one file, so that both are always of one another.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::pki::write_private;

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    /// PEM blocks: the chain, then the key.
    pem: String,
    /// When it came here.
    since: Timestamp,
    not_after: Timestamp,
}

impl Certificate {
    /// A certificate that has just come.
    pub(super) fn new(chain: &str, key: &str) -> anyhow::Result<Self> {
        Self::read_pem(format!("{}\n{key}", chain.trim_end()), Timestamp::now())
    }

    /// The one in a file; `None` where there is no file.
    pub(super) fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        if !file.exists() {
            return Ok(None);
        }
        let failed = || format!("cannot read the certificate in {}", file.display());
        let pem = std::fs::read_to_string(file).with_context(failed)?;
        let modified: SystemTime = file.metadata().and_then(|meta| meta.modified()).with_context(failed)?;
        Self::read_pem(pem, modified.try_into()?).with_context(failed).map(Some)
    }

    /// Puts it into a file that only its owner may read.
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        write_private(file, self.pem.as_bytes())
    }

    fn read_pem(pem: String, since: Timestamp) -> anyhow::Result<Self> {
        let first = CertificateDer::from_pem_slice(pem.as_bytes())?;
        let (_, certificate) = X509Certificate::from_der(&first).map_err(|error| anyhow!("{error}"))?;
        let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp())?;
        let certificate = Self { pem, since, not_after };
        certificate.der()?;
        Ok(certificate)
    }

    /// Chain and key as TLS takes them.
    pub(super) fn der(&self) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.pem.as_bytes()).collect();
        Ok((chain?, PrivateKeyDer::from_pem_slice(self.pem.as_bytes())?))
    }

    /// Since when it has been of no use, if it is of none.
    pub(super) fn expired(&self, now: Timestamp) -> Option<Timestamp> {
        (self.not_after <= now).then_some(self.not_after)
    }

    /// Whether it names exactly these hosts and addresses, as a serving certificate must.
    pub(super) fn names(&self, wanted: &[String]) -> anyhow::Result<bool> {
        let (chain, _) = self.der()?;
        let first = chain.first().context("there is no certificate")?;
        let (_, certificate) = X509Certificate::from_der(first).map_err(|error| anyhow!("{error}"))?;
        let extension = certificate.subject_alternative_name().map_err(|error| anyhow!("{error}"))?;
        let names = extension.iter().flat_map(|extension| &extension.value.general_names);
        let names: BTreeSet<String> = names.filter_map(shown).collect();
        Ok(names == wanted.iter().cloned().collect())
    }

    /// When `fraction` of its life here is over. Its life begins when it came, not where its own beginning was backdated to.
    pub(super) fn at(&self, fraction: f64) -> Timestamp {
        let life = self.not_after.duration_since(self.since);
        self.since.checked_add(life.mul_f64(fraction)).unwrap_or(self.not_after)
    }
}

/// A host's name or IPv4 address as it is written.
fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            <[u8; 4]>::try_from(*bytes).ok().map(|bytes| Ipv4Addr::from(bytes).to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Certificate {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["a".to_owned(), "192.0.2.1".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        Certificate::new(&params.self_signed(&key).unwrap().pem(), &key.serialize_pem()).unwrap()
    }

    #[test]
    fn a_certificate_outlives_the_process_in_a_file_with_its_key() {
        let file = std::env::temp_dir().join(format!("coxswain-certificate-{}.pem", std::process::id()));
        let written = certificate();
        written.write(&file).unwrap();
        let read = Certificate::read(&file).unwrap().unwrap();
        assert_eq!((read.pem, read.not_after), (written.pem, written.not_after));
        std::fs::remove_file(&file).unwrap();
        assert!(Certificate::read(&file).unwrap().is_none());
    }

    #[test]
    fn its_life_is_counted_from_when_it_came() {
        let mut certificate = certificate();
        certificate.since = "2029-12-22T00:00:00Z".parse().unwrap();
        assert_eq!(certificate.at(0.7).to_string(), "2029-12-29T00:00:00Z");
        assert_eq!(certificate.expired("2029-12-31T00:00:00Z".parse().unwrap()), None);
        certificate.expired("2030-01-01T00:00:00Z".parse().unwrap()).unwrap();
    }

    #[test]
    fn it_is_of_no_use_for_another_address() {
        let names = |list: [&str; 2]| certificate().names(&list.map(str::to_owned)).unwrap();
        assert!(names(["192.0.2.1", "a"]));
        assert!(!names(["192.0.2.2", "a"]));
    }
}
