//! An authority of the test, and certificates for registries at the machine's address.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::host::ADDRESS;

pub(super) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = params(name, Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// In PEM.
    pub(super) fn certificate(&self) -> String {
        self.certificate.pem()
    }

    /// Writes certificate and key of a registry into a directory and answers the two files.
    pub(super) fn issue(&self, directory: &Path, port: u16) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = params("registry", vec![ADDRESS.to_owned()]).signed_by(&key, &self.issuer).unwrap();
        let files = (directory.join(format!("{port}.crt")), directory.join(format!("{port}.key")));
        fs::write(&files.0, certificate.pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }
}

fn params(name: &str, addresses: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(addresses).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
