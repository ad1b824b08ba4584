//! Keys and certificates. Kept in `<data-dir>/pki`: the cluster's authority and the key that signs service-account
//! tokens, which several servers have from the store that they share (`shared`). Everything else is issued anew at each start, which costs a fraction of a millisecond, and again while the
//! server runs (`identity`). An agent's are asked for and renewed by `agent/rotation.rs`.

mod identity;
pub(crate) mod shared;

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use time::OffsetDateTime;

pub(crate) use identity::Identity;

/// How long leaf certificates are valid: as upstream's kubeadm.
const LEAF_DAYS: i64 = 365;
/// When they are replaced.
pub(crate) const RENEWED_AFTER: time::Duration = time::Duration::days(LEAF_DAYS * 2 / 3);
const AUTHORITY_DAYS: i64 = 3650;

/// The files.
const AUTHORITY: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const SERVICE_ACCOUNT_KEY: &str = "sa.key";

/// The cluster's authority.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's certificate, PEM.
    pub(crate) authority: String,
    /// The key that signs service-account tokens: ECDSA P-256, PKCS#8 PEM.
    pub(crate) service_account_key: String,
}

/// A certificate and its key, both PEM.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pki {
    /// Opens the authority in a directory, or makes it there.
    ///
    /// # Errors
    /// The files cannot be read or written, or do not belong together.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory)?;
        let key =
            KeyPair::from_pem(&key(&directory.join(AUTHORITY_KEY))?).context("pki/ca.key is damaged")?;
        let certificate = directory.join(AUTHORITY);
        if !certificate.exists() {
            write_private(&certificate, authority_params().self_signed(&key)?.pem().as_bytes())?;
        }
        let authority = fs::read_to_string(&certificate)?;
        let issuer = Issuer::from_ca_cert_pem(&authority, key).context("pki/ca.crt is damaged")?;
        let service_account_key = self::key(&directory.join(SERVICE_ACCOUNT_KEY))?;
        Ok(Self { issuer, authority, service_account_key })
    }

    /// The authority's key, PKCS#8 PEM.
    pub(crate) fn authority_key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A client certificate for a user (common name), in a group (organisation) where one is given.
    pub(crate) fn client(
        &self,
        user: &str,
        group: Option<&str>,
        now: OffsetDateTime,
    ) -> anyhow::Result<Leaf> {
        let mut params = leaf_params(user, ExtendedKeyUsagePurpose::ClientAuth, Vec::new(), now)?;
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        self.sign(&params)
    }

    /// A serving certificate for names and addresses.
    pub(crate) fn server(
        &self,
        user: &str,
        names: &[String],
        addresses: &[IpAddr],
        now: OffsetDateTime,
    ) -> anyhow::Result<Leaf> {
        let names = names.iter().cloned().chain(addresses.iter().map(IpAddr::to_string)).collect();
        self.sign(&leaf_params(user, ExtendedKeyUsagePurpose::ServerAuth, names, now)?)
    }

    fn sign(&self, params: &CertificateParams) -> anyhow::Result<Leaf> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Leaf { certificate, key: key.serialize_pem() })
    }

    /// A TLS server that accepts clients without a certificate and verifies those that bring one.
    pub(crate) fn tls(&self, identity: Arc<Identity>) -> anyhow::Result<Arc<ServerConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes())?)?;
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build()?;
        let config = ServerConfig::builder().with_client_cert_verifier(clients).with_cert_resolver(identity);
        Ok(Arc::new(config))
    }

    /// A kubeconfig for a client of this cluster.
    pub(crate) fn kubeconfig(&self, server: &str, user: &str, leaf: &Leaf) -> anyhow::Result<String> {
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "coxswain", "cluster": {
                "server": server,
                "certificate-authority-data": BASE64.encode(&self.authority),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": BASE64.encode(&leaf.certificate),
                "client-key-data": BASE64.encode(&leaf.key),
            }}],
            "contexts": [{"name": "coxswain", "context": {"cluster": "coxswain", "user": user}}],
            "current-context": "coxswain",
        });
        Ok(serde_saphyr::to_string(&config)?)
    }
}

/// A certificate that a process shows where nobody vouches for it, under these names (upstream's components without
/// `--tls-cert-file` make themselves one, too).
///
/// # Errors
/// A name has not the form of one.
pub(crate) fn self_signed(
    clock: fn() -> OffsetDateTime,
    names: Vec<String>,
) -> anyhow::Result<Arc<Identity>> {
    Identity::new(clock, move |now| {
        let user = names.last().map_or("localhost", String::as_str);
        let (key, params) = (
            KeyPair::generate()?,
            leaf_params(user, ExtendedKeyUsagePurpose::ServerAuth, names.clone(), now)?,
        );
        Ok(Leaf { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    })
}

/// Writes a file that only its owner may read: whole or not at all.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)
        .with_context(|| format!("cannot write {}", unfinished.display()))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| format!("cannot write {}", path.display()))
}

/// The key in a file, made there the first time.
fn key(path: &Path) -> anyhow::Result<String> {
    if !path.exists() {
        write_private(path, KeyPair::generate()?.serialize_pem().as_bytes())?;
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name = common_name("coxswain");
    valid_for(&mut params, AUTHORITY_DAYS, OffsetDateTime::now_utc());
    params
}

fn leaf_params(
    user: &str,
    usage: ExtendedKeyUsagePurpose,
    names: Vec<String>,
    now: OffsetDateTime,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name(user);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, LEAF_DAYS, now);
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// Valid from an hour ago, since clocks differ.
fn valid_for(params: &mut CertificateParams, days: i64, now: OffsetDateTime) {
    params.not_before = now - time::Duration::hours(1);
    params.not_after = now + time::Duration::days(days);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_outlives_a_restart_and_leaves_follow_from_it() {
        let directory = std::env::temp_dir().join(format!("coxswain-pki-{}", std::process::id()));
        let first = Pki::open(&directory).unwrap();
        let second = Pki::open(&directory).unwrap();
        assert_eq!(first.authority, second.authority);
        let now = OffsetDateTime::now_utc();
        let loopback = ["127.0.0.1".parse().unwrap()];
        let leaf = second.server("coxswain", &["localhost".into()], &loopback, now).unwrap();
        assert!(
            second.kubeconfig("https://127.0.0.1:6443", "admin", &leaf).unwrap().contains("current-context")
        );
        fs::remove_dir_all(directory).unwrap();
    }
}
