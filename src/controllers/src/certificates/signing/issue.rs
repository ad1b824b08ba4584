//! From a request to its certificate: subject and names as asked, usages and times as the signer grants them (upstream
//! `authority.PermissiveSigningPolicy`). Pure but for the random serial number.

use std::time::Duration;

use jiff::Timestamp;
use objects::certificate_request::Requested;
use rcgen::{CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SerialNumber};
use time::OffsetDateTime;
use x509_parser::pem::parse_x509_pem;

use super::{Signer, purposes::purposes};

/// Clocks differ: certificates are valid from a little before they were made.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// A life shorter than this is not cut by [`BACKDATE`].
const SHORT: Duration = Duration::from_secs(8 * 60 * 60);
const MIN_REQUESTED: Duration = Duration::from_secs(10 * 60);

/// A signer, read.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Until when its own certificate is valid.
    not_after: OffsetDateTime,
    duration: Duration,
}

impl Authority {
    pub(super) fn read(signer: &Signer) -> Result<Self, String> {
        let unusable = |error: &dyn std::fmt::Display| format!("the signer's key cannot be used: {error}");
        let key = KeyPair::from_pem(&signer.key).map_err(|error| unusable(&error))?;
        let (_, block) = parse_x509_pem(signer.certificate.as_bytes()).map_err(|error| unusable(&error))?;
        let not_after = block.parse_x509().map_err(|error| unusable(&error))?.validity().not_after;
        let issuer = Issuer::from_ca_cert_pem(&signer.certificate, key).map_err(|error| unusable(&error))?;
        Ok(Self { issuer, not_after: not_after.to_datetime(), duration: signer.duration })
    }

    /// The certificate, PEM; or why there is none.
    pub(super) fn sign(
        &self,
        requested: &Requested,
        usages: &[String],
        expiration_seconds: Option<i32>,
        now: Timestamp,
    ) -> Result<String, String> {
        let mut request = CertificateSigningRequestParams::from_der(&requested.der.as_slice().into())
            .map_err(|error| error.to_string())?;
        let now = OffsetDateTime::from_unix_timestamp(now.as_second()).map_err(|error| error.to_string())?;
        if now >= self.not_after {
            return Err(format!("the signer has expired: NotAfter={}", self.not_after));
        }
        let (key_usages, extended) = purposes(usages)?;
        let params = &mut request.params;
        params.key_usages = key_usages;
        params.extended_key_usages = extended;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(rand::random::<u128>().to_be_bytes().to_vec()));
        params.not_before = now - BACKDATE;
        params.not_after = (now + self.life(expiration_seconds)).min(self.not_after);
        Ok(request.signed_by(&self.issuer).map_err(|error| error.to_string())?.pem())
    }

    /// From now to the end.
    fn life(&self, expiration_seconds: Option<i32>) -> Duration {
        let asked =
            expiration_seconds.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs().into()));
        let life = match asked {
            Some(asked) if asked <= self.duration => asked.max(MIN_REQUESTED),
            _ => self.duration,
        };
        if life < SHORT { life } else { life - BACKDATE }
    }
}
