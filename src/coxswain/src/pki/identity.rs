//! A certificate that this process shows at TLS handshakes, and issues to itself again long before it ends.
//!
//! Its age is looked at whenever it is shown: there is no timer that could be late, and a machine that slept for months shows
//! a new one at once. Connections that are open keep what they were opened with. Writes nothing to disk.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::{Leaf, RENEWED_AFTER};

type Issue = dyn Fn(OffsetDateTime) -> anyhow::Result<Leaf> + Send + Sync;

/// A certificate in use, and how to issue the next.
pub(crate) struct Identity {
    issue: Box<Issue>,
    clock: fn() -> OffsetDateTime,
    present: RwLock<Present>,
}

#[derive(Clone)]
struct Present {
    shown: Arc<CertifiedKey>,
    renewed_at: OffsetDateTime,
}

impl Identity {
    /// Issues the first certificate; `issue` is asked again, with the time, when two thirds of its life are over.
    ///
    /// # Errors
    /// The first one cannot be issued.
    pub(crate) fn new(
        clock: fn() -> OffsetDateTime,
        issue: impl Fn(OffsetDateTime) -> anyhow::Result<Leaf> + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let now = clock();
        let present = Present::new(&issue(now)?, now)?;
        Ok(Arc::new(Self { issue: Box::new(issue), clock, present: RwLock::new(present) }))
    }

    /// The certificate to show now. Where no new one can be issued the present one is shown, and the next handshake tries again.
    fn shown(&self) -> Arc<CertifiedKey> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner).clone();
        let now = (self.clock)();
        if now < present.renewed_at {
            return present.shown;
        }
        match (self.issue)(now).and_then(|leaf| Present::new(&leaf, now)) {
            Ok(next) => {
                tracing::info!(identity = ?self, "a new certificate is in use");
                *self.present.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
                next.shown
            }
            Err(error) => {
                tracing::error!("no new certificate can be issued: {error:#}");
                present.shown
            }
        }
    }
}

impl Present {
    fn new(leaf: &Leaf, now: OffsetDateTime) -> anyhow::Result<Self> {
        let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes())?;
        let shown = Arc::new(CertifiedKey::from_der(vec![certificate], key, &default_provider())?);
        Ok(Self { shown, renewed_at: now + RENEWED_AFTER })
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Identity").field("renewed_at", &present.renewed_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::super::Pki;
    use super::*;

    /// Days on the test's clock.
    static DAY: AtomicI64 = AtomicI64::new(0);

    fn clock() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000 + DAY.load(Ordering::SeqCst))
    }

    #[test]
    fn a_process_that_runs_for_years_always_shows_a_certificate_that_is_valid() {
        let directory = std::env::temp_dir().join(format!("coxswain-identity-{}", std::process::id()));
        let pki = Pki::open(&directory).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
        let identity =
            Identity::new(clock, move |now| pki.server("a", &["localhost".into()], &[], now)).unwrap();
        let (mut issued, mut last) = (0, None);
        for day in 0..1000 {
            DAY.store(day, Ordering::SeqCst);
            let shown = identity.shown().cert[0].clone();
            let (_, certificate) = x509_parser::parse_x509_certificate(&shown).unwrap();
            let valid = certificate.validity();
            let now = clock().unix_timestamp();
            assert!(valid.not_before.timestamp() < now && now + 100 * 86_400 < valid.not_after.timestamp());
            if last.as_ref() != Some(&shown) {
                issued += 1;
            }
            last = Some(shown);
        }
        assert_eq!(issued, 5, "one every two thirds of a year");
    }
}
