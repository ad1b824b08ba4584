//! CertificateSigning: whoever writes the certificate or a condition must be allowed to `sign` for the request's signer.

use api::Object;
use async_trait::async_trait;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use machinery::Status;
use objects::certificate_request as request;

use super::certificate_approval::{is_update_of, may};
use super::{Attributes, Plugin};

pub(super) struct CertificateSigning;

#[async_trait]
impl Plugin for CertificateSigning {
    fn handles(&self, attributes: &Attributes<'_>) -> bool {
        is_update_of(attributes, "status")
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        new: Option<&Object>,
        old: Option<&Object>,
    ) -> Result<(), Status> {
        let typed = |object: Option<&Object>| {
            object.and_then(Object::downcast_ref::<CertificateSigningRequest>).cloned()
        };
        let (Some(new), Some(old)) = (typed(new), typed(old)) else { return Ok(()) };
        let is_untouched = request::certificate(&new) == request::certificate(&old)
            && request::conditions(&new) == request::conditions(&old);
        let signer = &old.spec.signer_name;
        if is_untouched || may(attributes, "sign", signer) {
            return Ok(());
        }
        Err(attributes.forbidden(format!("user not permitted to sign requests with signerName {signer:?}")))
    }
}
